set -euo pipefail
umask 0002  # other users of group 0 may change the files

# The init container installs the client here if the image has none.
PATH=/client/bin:$PATH

@PROVE@

if [[ -f /client/warnings ]]; then cat /client/warnings; fi

# The status by which the Job knows that another pod would end the same.
give_up() { # REASON
  echo "Error: $1"
  exit 3
}

# A user who may write to the claim could have left a link there, but the model must be written to the claim.
within() { # PATH…
  local path to
  for path; do
    to=$(realpath --canonicalize-missing -- "$path")
    [[ $to == /model-cache || $to == /model-cache/* ]] || give_up "$path is a link that leads out of the claim, to $to"
  done
}
within "$HF_HUB_CACHE"

# The folder of the layout `home`. Workers into which Model Express streams mount it: were it missing, the kubelet would make
# it, as root. So it is made before anything can fail.
mkdir -p "$HF_HUB_CACHE" || {
  prove /model-cache
  give_up "the folder $HF_HUB_CACHE cannot be made on the claim"
}
# The hub's folder is where workers write. Where the compile cache shares the claim, its folders lie beside the hub.
prove "$HF_HUB_CACHE" ${COMPILE_CACHE:+"$COMPILE_CACHE"}

# The Python that has the client: the one that runs `hf`.
python=python3
client=$(command -v hf) || true
if [[ $client ]]; then
  IFS= read -r line <"$client" || true
  if [[ -x ${line#'#!'} ]]; then python=${line#'#!'}; fi
fi

echo "phase asking the hub"
exec {log}>&1
result=$("$python" - "$@" 3>&1 >&"$log" 2>&1 <<'PYTHON'
@FILL@
PYTHON
)
{ read -r snapshot; read -r total; } <<<"$result"
commit=${snapshot##*/} model=${snapshot%/snapshots/*}

mapfile -d '' -t files < <(find "$snapshot" ! -type d -print0)
within "$snapshot" "${files[@]}" "$model/refs"

# A ref names a commit. mktemp creates the file, so it cannot be a link to another file; and outside of the refs, where the
# client would read it as one while it is empty.
ref() { # NAME [OPTION-OF-MV]
  local file
  mkdir -p "$(dirname -- "$model/refs/$1")"
  within "$(dirname -- "$model/refs/$1")"
  file=$(mktemp "$model/.ref-XXXXXX")
  echo -n "$commit" >"$file"
  chmod 664 "$file"
  # Some versions of mv fail where they were not to replace a file, and have not.
  mv --no-target-directory "${@:2}" "$file" "$model/refs/$1" || [[ ${2:-} == --no-clobber && -f $model/refs/$1 ]]
  rm -f "$file"
}
# Dynamo looks for the ref `main` on the claim before it contacts the hub, so without it Dynamo would download the model again.
# A tag or another branch does not take it away: workers that name no revision would get what they did not ask for. Of two commits
# that are wanted together, one does, and the Job of the other may end at the same moment.
if [[ -L $model/refs/main || $REVISION == main ]] || [[ $REVISION == "$commit" && -z ${LEAVE_MAIN:-} ]]; then
  ref main
elif [[ ! -f $model/refs/main ]]; then
  ref main --no-clobber
fi
# `hf cache prune` removes what no ref names: each commit has one that does not move.
ref "dynamo-cache-${commit::12}"
# Workers that name a branch or a tag find it offline.
if [[ $REVISION =~ ^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9_-])?$ && $REVISION != *..* && $REVISION != "$commit" ]]; then ref "$REVISION"; fi
echo "commit $commit, $total bytes"
proof+=$'\n'"commit $commit"$'\n'"bytes $total"
report_proof
