#!/usr/bin/env bash
# usage: npm_ci.sh FOLDER INTO
# Installs the packages of FOLDER's package-lock.json, which names each by its hash, into
# INTO/node_modules, unless they are there already: then nothing goes over the network. What npm has
# fetched before, for another build, it takes from its cache.
set -euo pipefail

die() {
  echo "npm_ci.sh: error: $*" >&2
  exit 1
}

from=$1 into=$2
for program in node npm; do
  command -v "$program" >/dev/null || die "$program is missing: bash run.sh install run (as root)"
done
mkdir -p "$into"
stamp=$into/node_modules/.installed
if [[ -e $stamp ]] && cmp -s "$from/package-lock.json" "$stamp"; then
  touch "$stamp"
  exit
fi
cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$into"
cd "$into"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
npm ci --prefer-offline --no-audit --no-fund --ignore-scripts --loglevel=error \
  --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=10000 --fetch-timeout=60000 >"$log" 2>&1 || {
  cat "$log" >&2
  die "npm could not fetch the packages of ${from##*/}/package-lock.json (its message is above); is" \
    "its registry within reach? Proxy and mirror are set with: npm config set proxy|registry URL;" \
    "a network's own certificate with NODE_EXTRA_CA_CERTS=FILE"
}
cp package-lock.json "$stamp"
