#!/bin/sh
# As many bytes as you like: big.sh?100000000.
case "$QUERY_STRING" in "" | *[!0-9]*) bytes=10485760 ;; *) bytes=$QUERY_STRING ;; esac
echo "Content-Type: application/octet-stream"
echo "Content-Length: $bytes"
echo
exec head -c "$bytes" /dev/zero
