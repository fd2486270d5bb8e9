set -eu
umask 0002

# If the write fails, the output is the container's message, and check reads the user from it.
user="uid $(id -u)"
echo "$user"

# Workers create missing directories, so the nearest existing one decides.
at=$DIRECTORY
while [ ! -d "$at" ]; do
	at=${at%/*}
	: "${at:?no directory above $DIRECTORY exists}"
done

# A link on the claim could lead to a directory that this container can write to and workers cannot.
mount=$(readlink -f "$MOUNT") to=$(readlink -f "$at")
case $to/ in
"${mount%/}"/*) ;;
*)
	echo "$at is a link that leads out of the claim, to $to" >&2
	exit 1
	;;
esac

file=$(mktemp "$at/.dynamo-cache-probe-XXXXXX") || {
	echo "$at is $(stat -c '%A %u:%g' "$at")" >&2
	exit 1
}
trap 'rm -f "$file"' EXIT
# Not by the shell's own echo: some shells call a full file system an I/O error.
echo "$file" | cat >"$file"
[ "$(cat "$file")" = "$file" ] || {
	echo "$file does not contain what was written to it" >&2
	exit 1
}
rm "$file"
trap - EXIT

# A container that succeeds has no message but this.
message=/dev/termination-log
[ ! -e "$message" ] || printf '%s\nwrote\n' "$user" >"$message" || true
