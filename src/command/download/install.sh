# An image with the client needs no package index.
if ! command -v hf >/dev/null; then
  echo "phase installing the client"
  # Install only wheels, because a source distribution runs its own code, and only the listed ones.
  cat >/client/requirements.txt <<'REQUIREMENTS'
@REQUIREMENTS@
REQUIREMENTS
  python3 -m venv /client
  /client/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
    --only-binary :all: --require-hashes --requirement /client/requirements.txt
fi
