set -euo pipefail

# This container has neither the token nor the model claim, so code of the packages cannot reach them.
if [[ -d /compilation-cache && ! -w /compilation-cache ]]; then
  echo "warning: the workers cannot write to /compilation-cache: $(ls -ld /compilation-cache)" | tee /client/warnings
fi

# An image with the client needs no package index.
if command -v hf >/dev/null; then
  exit
fi
echo "phase installing the client"
# Install only wheels, because a source distribution runs its own code, and only the listed ones.
cat >/client/requirements.txt <<'REQUIREMENTS'
@REQUIREMENTS@
REQUIREMENTS
python3 -m venv /client
/client/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
  --only-binary :all: --require-hashes --requirement /client/requirements.txt
