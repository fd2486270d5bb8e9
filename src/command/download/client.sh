set -euo pipefail

# Here is neither the token nor the model claim: the packages run nothing that could reach them.
if [[ -d /compilation-cache && ! -w /compilation-cache ]]; then
  echo "warning: the workers cannot write to /compilation-cache: $(ls -ld /compilation-cache)" | tee /client/warnings
fi

# An image that has the client needs no package index.
if command -v hf >/dev/null; then
  exit
fi
echo "phase installing the client"
# Wheels alone, since a source distribution runs code of its own, and those alone that are listed here.
cat >/client/requirements.txt <<'REQUIREMENTS'
@REQUIREMENTS@
REQUIREMENTS
python3 -m venv /client
/client/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
  --only-binary :all: --require-hashes --requirement /client/requirements.txt
