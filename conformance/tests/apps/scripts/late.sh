#!/bin/sh
# Has answered, and works on: what it writes then is for nobody. Its work is the file named by the query.
printf 'Status: 204\n\n'
head -c 1000000 /dev/zero
echo done > "$QUERY_STRING"
