#!/usr/bin/env bash
# Installs the packages of package-lock.json in this folder, unless they are there already: then
# nothing goes over the network.
set -euo pipefail

for program in node npm; do
  command -v "$program" >/dev/null || {
    echo "$program is missing: bash run.sh install test" >&2
    exit 1
  }
done
stamp=node_modules/.installed
if [[ -e $stamp ]] && cmp -s package-lock.json "$stamp"; then
  echo "the packages are there"
  exit
fi
npm ci --no-audit --no-fund --ignore-scripts
cp package-lock.json "$stamp"
