#!/bin/sh
printf 'HTTP/1.0 200 OK\r\n\r\nraw'
