#!/bin/sh
# Until the file of the query is there.
printf 'Content-Type: text/plain\n\nwaiting\n'
while [ ! -e "$QUERY_STRING" ]; do sleep 0.05; done
echo served
