#!/bin/sh
# As stalls.sh, and neither of them can be asked to end.
trap '' TERM
sleep 1000 &
[ -z "$QUERY_STRING" ] || echo "$$ $!" > "$QUERY_STRING"
printf 'Content-Type: text/plain\n\n%s %s stalling\n' "$$" "$!"
wait
