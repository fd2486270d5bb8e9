set -eu
umask 0002

# Workers make the folders that are missing, so the nearest that is there decides.
at=$PLACE
while [ ! -d "$at" ]; do
	at=${at%/*}
	: "${at:?there is no folder above $PLACE}"
done

# A link that somebody has left on the claim may lead to where this container can write, and workers cannot.
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
echo "$file" >"$file"
[ "$(cat "$file")" = "$file" ] || {
	echo "$file does not say what was written to it" >&2
	exit 1
}
rm "$file"
trap - EXIT
