#!/bin/sh
# The least that a script has to say.
echo "Content-Type: text/plain"
echo
echo "Hello, World!"
