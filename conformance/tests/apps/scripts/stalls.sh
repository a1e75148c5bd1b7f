#!/bin/sh
# A process and a child of it, which name themselves, here and in the file of the query, and then say nothing more.
sleep 1000 &
[ -z "$QUERY_STRING" ] || echo "$$ $!" > "$QUERY_STRING"
printf 'Content-Type: text/plain\n\n%s %s stalling\n' "$$" "$!"
wait
