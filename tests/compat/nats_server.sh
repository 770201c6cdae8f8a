#!/usr/bin/env bash
# Runs the integration tests against a newer nats-server than the system's own. Takes the package of a
# newer Debian release from the mirror that apt uses here, extracts it (nothing is installed), and puts
# it in front of PATH.
#
#   tests/compat/nats_server.sh [--suite SUITE] [--build DIR] [--program FILE] [--filter REGEX]
#
#   --suite    Debian release to take it from (default: sid, else trixie)
#   --build    build tree with the tests (default: build/test)
#   --program  use this nats-server instead of fetching one
#   --filter   which ctest names (default: the integration tests of client, cli and controller)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
suites=(sid trixie)
build=$root/build/test
program=''
cases='NatsConnection|JetStream|StreamReader|StreamService|DurableConsumer|TcpGate|Tail|Feedvault'
filter="^integration/($cases).*/nats-server\$"
while (($#)); do
  case $1 in
    --suite) suites=("$2"); shift 2 ;;
    --build) build=$(cd "$2" && pwd); shift 2 ;;
    --program) program=$2; shift 2 ;;
    --filter) filter=$2; shift 2 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown argument '$1': see --help" >&2; exit 2 ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Mirrors that apt is set up with, one a line.
mirrors() {
  {
    sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' \
      /etc/apt/sources.list /etc/apt/sources.list.d/*.list
    sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources | tr ' ' '\n'
  } 2>/dev/null | grep -v -e '-security' | sort -u
}

# apt with lists and state of its own, so that the system's are not touched.
fetch() {  # SUITE
  local mirror
  mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/parts"
  for mirror in $(mirrors); do
    echo "deb $mirror $1 main" >"$work/sources.list"
    local options=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts"
      -o Dir::State::Lists="$work/state/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root
      -o Acquire::Languages=none)
    apt-get "${options[@]}" -qq update || continue
    (cd "$work" && apt-get "${options[@]}" -qq download nats-server) && return 0
  done
  return 1
}

if [[ -z $program ]]; then
  for suite in "${suites[@]}"; do
    fetch "$suite" && break
  done
  compgen -G "$work/nats-server_*.deb" >/dev/null || { echo "no nats-server in: ${suites[*]}" >&2; exit 1; }
  dpkg -x "$work"/nats-server_*.deb "$work/package"
  program=$(find "$work/package" -type f -name nats-server -perm -u+x | head -n 1)
fi

mkdir "$work/bin"
ln -s "$(realpath "$program")" "$work/bin/nats-server"
export PATH=$work/bin:$PATH
nats-server --version
ctest --test-dir "$build" -R "$filter" --output-on-failure
