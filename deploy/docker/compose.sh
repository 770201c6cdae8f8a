# shellcheck shell=bash
# Docker mode: docker-compose.yml driven by run.sh, with `docker compose` or docker-compose 1.29.
# Sourced by bash.

# Sets COMPOSE; false when there is none. FEEDVAULT_COMPOSE chooses where there are both.
compose_command() {
  if [[ -n ${FEEDVAULT_COMPOSE:-} ]]; then
    read -ra COMPOSE <<<"$FEEDVAULT_COMPOSE"
  elif docker compose version >/dev/null 2>&1; then
    COMPOSE=(docker compose)
  elif command -v docker-compose >/dev/null; then
    COMPOSE=(docker-compose)
  else
    return 1
  fi
}

docker_usable() {
  command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1 && compose_command
}

# One project for each state folder, so that two installations share nothing.
compose() {
  [[ -n ${COMPOSE:-} ]] || compose_command ||
    die "neither 'docker compose' nor docker-compose is installed: see docs.docker.com/compose"
  [[ -n ${COMPOSE_PROJECT_NAME:-} ]] || COMPOSE_PROJECT_NAME=$(project_name)
  local files=(-f "$ROOT/docker-compose.yml")
  [[ ${BROKER:-} != nats-server ]] || files+=(-f "$ROOT/deploy/docker/nats-server.yml")
  FEEDVAULT_SCHEMA_PASSWORD=$DB_SCHEMA_PASSWORD FEEDVAULT_SERVICE_PASSWORD=$DB_SERVICE_PASSWORD \
    FEEDVAULT_READER_PASSWORD=$DB_READER_PASSWORD FEEDVAULT_ROOT_PASSWORD=$DB_ROOT_PASSWORD \
    "${COMPOSE[@]}" -p "$COMPOSE_PROJECT_NAME" "${files[@]}" "$@"
}

project_name() {
  if [[ $STATE == "$ROOT/var" ]]; then
    echo feedvault
  else
    printf 'feedvault-%s\n' "$(cksum <<<"$STATE" | cut -d' ' -f1)"
  fi
}

docker_up() {
  local profiles=() profile=''
  docker_usable || die "no Docker engine answers ('docker info'): start it, or use --mode native"
  docker_running || docker_ports_free
  # FEEDVAULT_PROFILE=upstream-feeds: the original producers instead of ours.
  if [[ $DEMO == yes ]]; then profile=${FEEDVAULT_PROFILE:-demo}; fi
  [[ -z $profile ]] || profiles=(--profile "$profile")
  say "building images (minutes at the first time)"
  docker_build
  [[ -z $BROKER_BEFORE ]] || change_broker
  record_settings
  if ! compose "${profiles[@]}" up -d --no-build --remove-orphans >"$STATE/up.log" 2>&1 </dev/null; then
    tail -n 20 "$STATE/up.log" >&2
    die "the containers did not start; bash run.sh logs NAME, with NAME broker, database or controller"
  fi
  eventually 60 controller_ready || die "the controller is not ready: $READY_REASON"
  [[ -z $profile ]] || eventually 60 docker_demo_arrived ||
    die "no demo messages arrived within 60 s: see bash run.sh logs"
}

docker_build() {
  local services=(controller)
  # Ours is in the same image. One that the environment names is used as it is.
  [[ $BROKER == feedvault-broker || -n ${FEEDVAULT_BROKER_IMAGE:-} ]] || services+=(broker)
  if ! compose build "${services[@]}" >"$STATE/build.log" 2>&1 </dev/null; then
    tail -n 20 "$STATE/build.log" >&2
    die "the images could not be built; all of the output: $STATE/build.log"
  fi
}

# For a change of the broker: what change_broker() needs, and nothing that publishes.
docker_start_pipeline() {
  docker_build
  compose up -d --no-build controller >"$STATE/up.log" 2>&1 </dev/null ||
    die "the containers did not start: see $STATE/up.log"
  eventually 60 controller_ready || die "the controller is not ready: $READY_REASON"
}

# The one volume is the broker's, whichever it is. Before brokers were recorded it was nats-server.
docker_stored_broker() {
  local recorded
  [[ $(recorded_setting MODE) == docker ]] &&
    docker volume inspect "${COMPOSE_PROJECT_NAME:-$(project_name)}_broker" >/dev/null 2>&1 || return 0
  recorded=$(recorded_setting BROKER)
  printf '%s' "${recorded:-nats-server}"
}

# Runs in the new broker's image, which knows the user that the volume is to belong to.
docker_put_streams_aside() {  # KIND
  compose stop controller broker >"$STATE/down.log" 2>&1 || die "stopping: see $STATE/down.log"
  # shellcheck disable=SC2016
  compose run --rm --no-deps -T --user 0 --entrypoint sh broker -c '
    number=1
    while [ -e "/data/jetstream.$0.$number" ]; do number=$((number + 1)); done
    mv /data/jetstream "/data/jetstream.$0.$number" &&
      chown "$(id -u nats 2>/dev/null || id -u feedvault 2>/dev/null || echo 0)" /data' "$1" \
    >>"$STATE/down.log" 2>&1 </dev/null || die "cannot put the streams aside: see $STATE/down.log"
  say "all of it is catalogued. Its files, with streams of others in them, are kept in the broker's" \
    "volume as jetstream.$1.<number>"
}

docker_demo_arrived() {
  [[ $(docker_sql -N -e 'SELECT COUNT(*), COALESCE(MIN(last_seq), 0) FROM Feeds' 2>/dev/null) == \
    [1-9]*$'\t'[1-9]* ]]
}

docker_ports_free() {
  require_free_port NATS broker
  require_free_port MONITOR "broker's monitoring"
  require_free_port MYSQL database
  require_free_port CONTROLLER "controller's health"
}

# Profiles name what may run: all of them stop. The volumes stay.
docker_down() {
  compose --profile demo --profile upstream-feeds down --remove-orphans >"$STATE/down.log" 2>&1 ||
    { tail -n 20 "$STATE/down.log" >&2; return 1; }
}

docker_running() { [[ -n $(compose ps -q 2>/dev/null) ]]; }

# exec with a terminal only where we have one: -T is what both compose versions know.
compose_exec() {
  if [[ -t 0 && -t 1 ]]; then compose exec "$@"; else compose exec -T "$@"; fi
}

docker_sql() { compose_exec database sh /feedvault/sql.sh "$@"; }

# In the controller's container, where the gateway is another machine.
docker_tool() {
  [[ ${1:-} != doctor ]] || set -- doctor --gateway gateway:8080 "${@:2}"
  compose_exec controller feedvault "$@"
}

docker_logs() {  # [NAME] [-f]
  [[ -t 1 ]] || set -- --no-color "$@"
  compose --profile demo --profile upstream-feeds logs --tail 50 "$@"
}
