#!/bin/sh
printf 'Content-Type: text/plain\n\n'
while :; do
    echo drip
    sleep 0.1
done
