set -euo pipefail

# The init container installs the client here if the image has none.
PATH=/client/bin:$PATH

# A user who may write to the claim could have left a link there, but nothing beside the claim may be removed.
hub=$(realpath --canonicalize-existing -- "$HF_HUB_CACHE")
[[ $hub == /claim || $hub == /claim/* ]] || {
  echo "Error: $HF_HUB_CACHE is a link that leads out of the claim, to $hub"
  exit 1
}

hf cache rm "$TARGET" --cache-dir "$hub" --yes

# The client only warns about what it may not remove, or does not understand.
if [[ -e $hub/$FOLDER || -L $hub/$FOLDER ]]; then
  echo "Error: it is still there, $(ls -ld "$hub/$FOLDER"), as user $(id -u)"
  exit 1
fi
