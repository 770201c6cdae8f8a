#!/bin/bash
# http-ok PORT PATH: succeeds when GET http://127.0.0.1:PORT/PATH answers 200. For health checks.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3
read -r -t 4 status <&3
[[ $status == HTTP/*" 200 "* ]]
