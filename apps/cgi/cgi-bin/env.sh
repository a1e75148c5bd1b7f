#!/bin/sh
# What a script is told: its whole environment, and where it is.
echo "Content-Type: text/plain; charset=utf-8"
echo "Cache-Control: no-store"
echo
env | sort
echo "working directory: $(pwd)"
