#!/bin/bash
# Prepares an empty /var/lib/mysql as the official image does (MYSQL_ROOT_PASSWORD, MYSQL_DATABASE,
# scripts in /docker-entrypoint-initdb.d), then becomes the server with our arguments.
set -euo pipefail

readonly socket=/run/mysqld/mysqld.sock
server=(mysqld --datadir=/var/lib/mysql "--socket=$socket" --mysqlx=OFF)

docker_process_sql() { mysql --socket="$socket" -u root --database="${MYSQL_DATABASE:-}" "$@"; }

if [[ ! -d /var/lib/mysql/mysql ]]; then
  mysqld --no-defaults --initialize-insecure --datadir=/var/lib/mysql
  "${server[@]}" --skip-networking &
  pid=$!
  until mysqladmin --socket="$socket" -u root ping >/dev/null 2>&1; do
    kill -0 "$pid"
    sleep 0.2
  done
  mysql --socket="$socket" -u root -e "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`"
  for script in /docker-entrypoint-initdb.d/*.sh; do
    # shellcheck source=/dev/null
    . "$script"
  done
  mysql --socket="$socket" -u root -e "ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD'"
  MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysqladmin --socket="$socket" -u root shutdown
  wait "$pid"
fi
exec "${server[@]}" "$@"
