set -euo pipefail

@PROVE@

# This container has neither the token nor the model claim, so code of the packages cannot reach them.
proof=
if [[ -d /compilation-cache ]]; then
  prove /compilation-cache >/client/warnings
  cat /client/warnings
fi

@INSTALL@
report_proof
