#!/bin/sh
# Elsewhere: `?local` is answered by the server itself, as if hello.sh had been asked for; `?loop` never ends.
case "$QUERY_STRING" in
    local) echo "Location: ${SCRIPT_NAME%/*}/hello.sh/redirected?by=redirect.sh" ;;
    loop) echo "Location: $SCRIPT_NAME?loop" ;;
    *) echo "Location: https://www.rfc-editor.org/rfc/rfc3875" ;;
esac
echo
