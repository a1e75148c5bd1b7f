#!/bin/sh
# Has answered by its header, and works on: what it writes then is for nobody. Its work is the file named by the query.
printf 'Content-Type: text/plain\nContent-Length: 0\n\n'
head -c 1000000 /dev/zero
echo done > "$QUERY_STRING"
