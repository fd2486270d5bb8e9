# Writes a file to each directory and removes it, as a worker would, and says in $proof how that ended; the first refusal
# decides. Not by a test of the mode: a file server may refuse a user whom the mode allows.
prove() { # DIRECTORY…
  local directory output
  proof="uid $EUID"$'\n'wrote
  for directory; do
    if ! output=$(
      export LC_ALL=C
      exec 2>&1
      file=$(mktemp "$directory/.dynamo-cache-probe-XXXXXX") || exit
      trap 'rm -f "$file"' EXIT
      echo "$file" | cat >"$file"
    ); then
      echo "warning: the workers cannot write to $directory: $(ls -ld "$directory")"
      proof="uid $EUID"$'\n'$output
      return
    fi
  done
}

# Makes the proof the container's message, which `dynamo-cache download --wait` reads. Only at the end of a script that has
# succeeded: if it fails, the message must be the end of its log.
report_proof() {
  [[ ! -e /dev/termination-log ]] || echo "$proof" >/dev/termination-log || true
}
