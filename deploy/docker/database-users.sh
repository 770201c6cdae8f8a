# shellcheck shell=bash
# Read once by the database image's entrypoint, when it has made an empty database. The service user
# gets its few rights from the controller's migrations.

feedvault_users() {
  cat <<SQL
CREATE USER 'feedvault_schema'@'%' IDENTIFIED BY '$FEEDVAULT_SCHEMA_PASSWORD';
CREATE USER 'feedvault'@'%' IDENTIFIED BY '$FEEDVAULT_SERVICE_PASSWORD';
CREATE USER 'feedvault_reader'@'%' IDENTIFIED BY '$FEEDVAULT_READER_PASSWORD';
GRANT ALL ON nss_db.* TO 'feedvault_schema'@'%' WITH GRANT OPTION;
GRANT SELECT, SHOW VIEW ON nss_db.* TO 'feedvault_reader'@'%';
SQL
}

case "$FEEDVAULT_SCHEMA_PASSWORD$FEEDVAULT_SERVICE_PASSWORD$FEEDVAULT_READER_PASSWORD" in
  *[\'\\]*)
    echo "feedvault: the FEEDVAULT_*_PASSWORD variables may not contain ' or \\" >&2
    exit 1
    ;;
esac
# Images source this file, and then have a function for SQL; or run it, when it is executable.
if declare -F docker_process_sql >/dev/null; then
  feedvault_users | docker_process_sql
else
  feedvault_users | MYSQL_PWD=$MYSQL_ROOT_PASSWORD "$(command -v mysql || command -v mariadb)" -u root
fi
