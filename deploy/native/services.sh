# shellcheck shell=bash
# Native mode: a private database, a broker, the controller, the gateway and the demo feeds, each kept
# running by supervise.sh. Sourced by bash. Everything they write is below $STATE.

# shellcheck source=deploy/native/process.sh
. "$ROOT/deploy/native/process.sh"
# shellcheck source=deploy/native/packages.sh
. "$ROOT/deploy/native/packages.sh"

# Started in this order, stopped in the reverse one.
readonly SERVICES=(database broker controller gateway feeds)
# Seconds that each may take to stop: the database flushes, the controller drains.
declare -grA STOP_GRACE=([database]=90 [broker]=30 [controller]=30 [gateway]=30 [feeds]=10)

database_config() {
  cat <<CONFIG
# Written by run.sh at every start.
[mariadbd]
datadir = $STATE/mariadb
tmpdir = $STATE/tmp
init_file = $STATE/mariadb.init.sql
pid_file = $STATE/run/mariadbd.own.pid
# Relative to datadir: a Unix socket's path may have only 107 characters.
socket = mariadb.sock
bind_address = 127.0.0.1
port = $FEEDVAULT_MYSQL_PORT
skip_name_resolve
skip_log_bin
character_set_server = utf8mb4
default_time_zone = +00:00
max_connections = 64
max_allowed_packet = 64M
# A commit that was confirmed is on disk.
innodb_flush_log_at_trx_commit = 1
innodb_doublewrite = ON
# Sized for a small machine.
innodb_buffer_pool_size = 256M
innodb_log_file_size = 256M
innodb_log_buffer_size = 16M
CONFIG
}

# Users and database; run by the server itself at every start. The service user gets its few rights
# from the controller's migrations.
database_init_sql() {
  local user
  printf 'CREATE DATABASE IF NOT EXISTS nss_db CHARACTER SET utf8mb4;\n'
  for user in "feedvault_schema $DB_SCHEMA_PASSWORD" "feedvault $DB_SERVICE_PASSWORD" \
    "feedvault_reader $DB_READER_PASSWORD"; do
    printf "CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\n" "${user% *}" "${user#* }"
    printf "ALTER USER '%s'@'%%' IDENTIFIED BY '%s';\n" "${user% *}" "${user#* }"
  done
  printf "GRANT ALL ON nss_db.* TO 'feedvault_schema'@'%%' WITH GRANT OPTION;\n"
  printf "GRANT SELECT, SHOW VIEW ON nss_db.* TO 'feedvault_reader'@'%%';\n"
}

prepare_database() {
  mkdir -p "$STATE/tmp"
  if [[ ! -d $STATE/mariadb ]]; then
    # Built beside its place and moved there whole, so that an interrupted start leaves no half one.
    rm -rf "$STATE/mariadb.new"
    # A relative folder, because the program cannot have blanks in its path. --force: also where the
    # machine's name cannot be looked up. A temporary folder of its own, because any other server
    # that starts on the machine would remove this one's temporary tables from a common one.
    (cd "$STATE" && TMPDIR=$STATE/tmp mariadb-install-db --no-defaults --user="$(id -un)" \
      --datadir=./mariadb.new --auth-root-authentication-method=socket \
      --auth-root-socket-user="$(id -un)" --skip-test-db --skip-name-resolve --force) \
      >"$STATE/log/database.install.log" 2>&1 </dev/null ||
      die "the database could not be created: see $STATE/log/database.install.log"
    mv "$STATE/mariadb.new" "$STATE/mariadb"
  fi
  database_config >"$STATE/mariadb.cnf"
  database_init_sql >"$STATE/mariadb.init.sql"
  cat >"$STATE/reader.cnf" <<CONFIG
[client]
protocol = tcp
host = 127.0.0.1
port = $FEEDVAULT_MYSQL_PORT
user = feedvault_reader
password = $DB_READER_PASSWORD
default-character-set = utf8mb4
CONFIG
}

start_database() {
  require_free_port MYSQL database
  prepare_database
  supervise database mariadbd --defaults-file="$STATE/mariadb.cnf" --user="$(id -un)"
}

as_reader() { mariadb --defaults-file="$STATE/reader.cnf" --database=nss_db "$@"; }
database_answers() { as_reader --connect-timeout=2 -e 'SELECT 1' >/dev/null 2>&1; }

# The one place that knows how a broker is configured; BROKER: see choose_broker.
start_broker() {
  local program=$BROKER version sync=''
  [[ $program != feedvault-broker ]] || program=$BUILD_DIR/bin/feedvault-broker
  require_free_port NATS broker
  require_free_port MONITOR "broker's monitoring"
  version=$("$program" --version 2>&1) || die "the broker '$program' does not run: $version"
  # 2.9 syncs its files every two minutes and knows no such setting. feedvault-broker syncs before
  # it acknowledges, as long as it is told nothing else.
  [[ $version == *v2.9.* || $version == *'speaks as nats-server'* ]] || sync='sync_interval: "1s"'
  mkdir -p "$STATE/jetstream"
  cat >"$STATE/broker.conf" <<CONFIG
# Written by run.sh at every start.
server_name: feedvault
listen: "127.0.0.1:$FEEDVAULT_NATS_PORT"
http: "127.0.0.1:$FEEDVAULT_MONITOR_PORT"
max_payload: 1MB
jetstream {
  store_dir: "$STATE/jetstream"
  $sync
}
CONFIG
  supervise broker "$program" -c "$STATE/broker.conf"
}

# A damaged consumer makes /healthz fail, and is no reason not to start.
broker_answers() { http_get "$FEEDVAULT_MONITOR_PORT" '/healthz?js-server-only=true' >/dev/null; }

start_controller() {
  require_free_port CONTROLLER "controller's health"
  supervise controller "$BUILD_DIR/bin/feedvault-controller" --config "$CONFIG"
}

controller_answers() { controller_ready; }

start_gateway() {
  require_free_port HTTP gateway
  supervise gateway "$BUILD_DIR/bin/feedvault-gateway" --config "$CONFIG"
}

gateway_answers() { http_get "$FEEDVAULT_HTTP_PORT" /readyz >/dev/null; }

start_feeds() {
  supervise feeds "$BUILD_DIR/bin/feedvault-feeds" --config "$CONFIG" --feed all \
    --rate "${FEEDVAULT_DEMO_RATE:-20}" --publish acknowledged
}

# Demo messages have arrived in the table, of every feed there is.
feeds_answers() {
  [[ $(as_reader -N -e 'SELECT COUNT(*), COALESCE(MIN(last_seq), 0) FROM Feeds' 2>/dev/null) == \
    [1-9]*$'\t'[1-9]* ]]
}

# What our programs read besides config.toml. The environment rather than arguments: those are
# there for everyone to read.
export_credentials() {
  # Known to the compose file only; our programs would take it for a key of [mysql].
  unset FEEDVAULT_MYSQL_IMAGE
  export FEEDVAULT_MYSQL_USER=feedvault FEEDVAULT_MYSQL_PASSWORD=$DB_SERVICE_PASSWORD
  export FEEDVAULT_MYSQL_SCHEMA_USER=feedvault_schema
  export FEEDVAULT_MYSQL_SCHEMA_PASSWORD=$DB_SCHEMA_PASSWORD
}

supervise() {  # NAME COMMAND...
  local name=$1
  shift
  rm -f "$STATE/run/$name.failed"
  setsid bash "$ROOT/deploy/native/supervise.sh" "$STATE" "$name" "${STOP_GRACE[$name]}" "$@" \
    </dev/null >>"$STATE/log/supervisor.log" 2>&1 9>&- &
  # It records itself too, but only here it is known before anything else can fail.
  record_process "$STATE/run/$name.supervisor" $!
  disown
}

supervised() { recorded_pid "$STATE/run/$1.supervisor" >/dev/null; }

# Starts a service unless it runs; a process whose supervisor was killed is replaced.
ensure_started() {  # NAME
  supervised "$1" && return 0
  end_process "$STATE/run/$1.pid" "${STOP_GRACE[$1]}"
  "start_$1"
}

# True when a service answers; ends with the reason when it has given up.
answers_or_failed() {  # NAME
  "$1_answers" && return 0
  [[ -e $STATE/run/$1.failed ]]
}

await() {  # NAME SECONDS
  local name=$1
  READY_REASON=''
  if ! eventually "$2" answers_or_failed "$name"; then
    show_end_of_log "$name"
    [[ -z $READY_REASON ]] || warn "$name: $READY_REASON"
    die "$name: not ready after $2 s; its log: $STATE/log/$name.log"
  fi
  if [[ -e $STATE/run/$name.failed ]]; then
    die "$name cannot start: $(<"$STATE/run/$name.failed")"
  fi
}

show_end_of_log() { tail -n 5 "$STATE/log/$1.log" >&2 2>/dev/null; }

native_up() {
  local packages
  umask 077
  mkdir -p "$STATE/run" "$STATE/log"
  if [[ -n ${FEEDVAULT_BUILD_DIR:-} ]]; then
    BUILD_DIR=$FEEDVAULT_BUILD_DIR
    mapfile -t packages < <(run_packages)
    ensure_packages run "${packages[@]}"
  else
    install_packages run
    build_preset release
  fi
  export_credentials
  [[ -z $BROKER_BEFORE ]] || change_broker
  record_settings
  native_start_pipeline
  ensure_started gateway
  await gateway 60
  if [[ $DEMO == yes ]]; then
    ensure_started feeds
    await feeds 60
  fi
}

native_start_pipeline() {
  ensure_started database
  ensure_started broker
  await database 60
  await broker 60
  ensure_started controller
  await controller 60
}

# Whose streams the state folder has; empty: there are none. nats-server has a folder for each
# account, feedvault-broker has not.
native_stored_broker() {
  local store=$STATE/jetstream/jetstream path kind found=''
  for path in "$store"/streams/*/ "$store"/*/streams/*/; do
    [[ -d $path ]] || continue
    kind=nats-server
    [[ $path != "$store/streams/"* ]] || kind=feedvault-broker
    [[ -z $found || $found == "$kind" ]] ||
      die "$store holds streams of both brokers: move away what is not to be used," \
        "feedvault-broker's (streams/) or nats-server's (the other folders)"
    found=$kind
  done
  printf '%s' "$found"
}

# With the pipeline running; the database stays up.
native_put_streams_aside() {  # KIND
  local aside=$STATE/jetstream.$1 number=1
  while [[ -e $aside.$number ]]; do ((number++)); done
  stop_service controller
  stop_service broker
  mv "$STATE/jetstream" "$aside.$number" || die "cannot move $STATE/jetstream to $aside.$number"
  say "all of it is catalogued. Its files, with streams of others in them, are kept in" \
    "$aside.$number: remove them when you like"
}

# MariaDB 10.11 may hang for ever when it is told to stop while it starts.
# One that does not come up at all is stopped all the same.
database_settled() { ! supervised database || database_answers; }

native_down() {
  local index
  eventually 15 database_settled || true
  for ((index = ${#SERVICES[@]} - 1; index >= 0; index--)); do
    stop_service "${SERVICES[index]}"
  done
}

stop_service() {  # NAME
  end_process "$STATE/run/$1.supervisor" $((STOP_GRACE[$1] + 10))
  end_process "$STATE/run/$1.pid" "${STOP_GRACE[$1]}"
  rm -f "$STATE/run/$1.failed"
}

native_running() {
  local name
  for name in "${SERVICES[@]}"; do
    supervised "$name" && return 0
    process_gone "$STATE/run/$name.pid" || return 0
  done
  return 1
}

native_sql() { as_reader "$@"; }

native_logs() {  # [NAME] [-f]
  local name='' files follow=()
  while (($#)); do
    case $1 in
      -f | --follow) follow=(-F) ;;
      *) name=$1 ;;
    esac
    shift
  done
  if [[ -n $name ]]; then
    files=("$STATE/log/$name.log")
    [[ -e ${files[0]} ]] || die "no log '$name': there are $(cd "$STATE/log" && echo *.log)"
  else
    files=("$STATE"/log/*.log)
  fi
  tail -n 50 "${follow[@]}" "${files[@]}"
}

# Our command-line tool with this installation's settings.
native_tool() {
  export_credentials
  BUILD_DIR=${FEEDVAULT_BUILD_DIR:-$ROOT/build/release}
  [[ -x $BUILD_DIR/bin/feedvault ]] || die "nothing is built yet: bash run.sh up"
  FEEDVAULT_CONFIG=$CONFIG "$BUILD_DIR/bin/feedvault" "$@"
}
