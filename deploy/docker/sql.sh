#!/bin/sh
# SQL as the read-only user, inside the database's container.
client=$(command -v mysql || command -v mariadb) || exit 127
MYSQL_PWD=$FEEDVAULT_READER_PASSWORD exec "$client" --default-character-set=utf8mb4 \
  -u feedvault_reader --database=nss_db "$@"
