#!/bin/sh
# A mebibyte of complaints before the first word.
head -c 1048576 /dev/zero | tr '\0' 'e' >&2
printf '\nlast \033[31mcomplaint\n' >&2
printf 'Content-Type: text/plain\n\nstill here\n'
