set -euo pipefail

# This container does not have the claim, so code of the packages cannot reach it.
@INSTALL@
