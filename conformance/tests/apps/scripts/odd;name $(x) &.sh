#!/bin/sh
printf 'Content-Type: text/plain\n\n%s\n' "$SCRIPT_NAME"
