set -euo pipefail
umask 0002  # what this user writes, others of group 0 may change

for claim in /model-cache /compilation-cache; do
  if [[ -d $claim && ! -w $claim ]]; then
    echo "warning: the workers cannot write to $claim: $(ls -ld "$claim")"
  fi
done

# An image that has the client needs no package index.
if ! command -v hf >/dev/null; then
  echo "phase installing the client"
  python3 -m venv /tmp/client
  /tmp/client/bin/pip install --quiet --no-cache-dir 'huggingface_hub==2.4.0'
  PATH=/tmp/client/bin:$PATH
fi

# How much there is to download, for whoever follows; 0: not known.
total=$(python3 - "$@" 2>/dev/null <<'PYTHON' || echo 0
import os, sys
from huggingface_hub import snapshot_download
options = list(zip(sys.argv[1::2], sys.argv[2::2]))
files = snapshot_download(
    os.environ["MODEL"], revision=os.environ["REVISION"], dry_run=True,
    allow_patterns=[value for option, value in options if option == "--include"] or None,
    ignore_patterns=[value for option, value in options if option == "--exclude"] or None)
print(sum(file.file_size or 0 for file in files if file.will_download))
PYTHON
)
mkdir -p "$HF_HUB_CACHE"
used() { du -s --block-size=1 "$HF_HUB_CACHE" 2>/dev/null | cut -f1 || true; }
begun=$(used)
while sleep 2; do echo "progress $(($(used) - begun)) of $total bytes"; done &
trap "kill $!" EXIT

echo "phase downloading"
snapshot=$(hf download "$MODEL" --revision "$REVISION" --quiet "$@")

# A download by commit leaves no name for it, and Dynamo looks for `main` on the claim
# before it asks anybody: without this it would go to the hub for what is here.
refs=${snapshot%/snapshots/*}/refs
mkdir -p "$refs"
echo -n "${snapshot##*/}" > "$refs/.main"
mv "$refs/.main" "$refs/main"
du -shL "$snapshot"
