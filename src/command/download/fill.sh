set -euo pipefail
umask 0002  # other users of group 0 may change the files

# The init container installs the client here if the image has none.
PATH=/client/bin:$PATH

if [[ ! -w /model-cache ]]; then
  echo "warning: the workers cannot write to /model-cache: $(ls -ld /model-cache)"
fi
if [[ -f /client/warnings ]]; then cat /client/warnings; fi

# A user who may write to the claim could have left a link there, but the model must be written to the claim.
within() { # PATH…
  local path to
  for path; do
    to=$(realpath --canonicalize-missing -- "$path")
    [[ $to == /model-cache || $to == /model-cache/* ]] || {
      echo "Error: $path is a link that leads out of the claim, to $to"
      exit 1
    }
  done
}
within "$HF_HUB_CACHE"

# The size of the download in bytes, for the progress line; 0 if unknown.
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

mapfile -d '' -t files < <(find "$snapshot" ! -type d -print0)
refs=${snapshot%/snapshots/*}/refs
within "$snapshot" "${files[@]}" "$refs"

# A download by commit creates no ref. Dynamo looks for the ref `main` on the claim before it
# contacts the hub, so without it Dynamo would download the model again.
mkdir -p "$refs"
# mktemp creates the file, so it cannot be a link to another file.
main=$(mktemp "$refs/.main-XXXXXX")
echo -n "${snapshot##*/}" >"$main"
chmod 664 "$main"
mv --no-target-directory "$main" "$refs/main"
du -shL "$snapshot"
