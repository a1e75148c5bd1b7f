#!/bin/sh
printf 'Content-Type: text/plain\n\ncomplete\n'
exit 7
