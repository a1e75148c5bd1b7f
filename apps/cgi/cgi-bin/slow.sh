#!/bin/sh
# A line each second, as long as you like: slow.sh?30. Watch it with `curl -N`.
echo "Content-Type: text/plain"
echo
case "$QUERY_STRING" in "" | *[!0-9]*) seconds=5 ;; *) seconds=$QUERY_STRING ;; esac
second=0
while [ "$second" -lt "$seconds" ]; do
    second=$((second + 1))
    echo "second $second"
    sleep 1
done
