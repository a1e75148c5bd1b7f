#!/bin/sh
# Fails before it has answered: the client sees 502, the log why.
echo "there is no database here" >&2
exit 3
