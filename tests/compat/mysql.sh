#!/usr/bin/env bash
# Runs the storage suite against a real MySQL instead of MariaDB.
#
#   tests/compat/mysql.sh [--suite sid] [--package mysql-server-core] [--folder DIR]
#                         [--build build/test] [-- GTEST ARGUMENTS]
#
# Debian 12 has no MySQL. This installs the server of another Debian suite into a folder of its own
# with debootstrap (root needed, once; nothing outside the folder changes and no service starts),
# and runs the suite's programs against it. The mirror is the one this machine's apt uses.
set -euo pipefail

suite=sid package=mysql-server-core folder='' build=build/test
while [[ $# -gt 0 ]]; do
  case $1 in
    --suite) suite=$2; shift 2 ;;
    --package) package=$2; shift 2 ;;
    --folder) folder=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --) shift; break ;;
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "unknown argument: $1 (see --help)" >&2; exit 2 ;;
  esac
done
folder=${folder:-/var/tmp/feedvault-$suite}
cd "$(dirname "$0")/../.."

apt_mirror() {
  # Both formats of apt's sources; the first Debian archive that is not the security one.
  { sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
    sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list
    true  # a machine has one format or the other
  } 2>/dev/null | grep -E '/debian/?$' | head -n 1
}

if [[ ! -x $folder/usr/sbin/mysqld ]]; then
  command -v debootstrap > /dev/null || { echo "install debootstrap first" >&2; exit 2; }
  mirror=$(apt_mirror)
  [[ -n $mirror ]] || { echo "apt has no Debian mirror to take $suite from" >&2; exit 2; }
  if [[ ! -x $folder/usr/bin/apt-get ]]; then
    debootstrap --variant=minbase "$suite" "$folder" "$mirror"
  fi
  chroot "$folder" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "$package"
fi

# The server runs outside the folder, with the folder's own C library and files.
wrapper=$folder/run-mysqld
cat > "$wrapper" <<WRAPPER
#!/bin/sh
libraries=\$(echo $folder/usr/lib/*-linux-gnu)
# --no-defaults counts only as the first option.
[ "\$1" = --no-defaults ] && shift
exec "\$(echo $folder/lib*/ld-linux*.so.*)" --library-path "\$libraries" \\
  $folder/usr/sbin/mysqld --no-defaults --lc-messages-dir=$folder/usr/share/mysql \\
  --character-sets-dir=$folder/usr/share/mysql/charsets \\
  --plugin-dir=$folder/usr/lib/mysql/plugin "\$@"
WRAPPER
chmod +x "$wrapper"
"$wrapper" --no-defaults --version

FEEDVAULT_TEST_MYSQLD=$wrapper "$build/bin/storage_integration" "$@"
