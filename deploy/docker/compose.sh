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
  FEEDVAULT_SCHEMA_PASSWORD=$DB_SCHEMA_PASSWORD FEEDVAULT_SERVICE_PASSWORD=$DB_SERVICE_PASSWORD \
    FEEDVAULT_READER_PASSWORD=$DB_READER_PASSWORD FEEDVAULT_ROOT_PASSWORD=$DB_ROOT_PASSWORD \
    "${COMPOSE[@]}" -p "$COMPOSE_PROJECT_NAME" -f "$ROOT/docker-compose.yml" "$@"
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
  record_settings
  say "building images (minutes at the first time)"
  # A broker image that the environment names is used as it is.
  if ! compose build ${FEEDVAULT_BROKER_IMAGE:+controller} >"$STATE/build.log" 2>&1 </dev/null; then
    tail -n 20 "$STATE/build.log" >&2
    die "the images could not be built; all of the output: $STATE/build.log"
  fi
  if ! compose "${profiles[@]}" up -d --no-build --remove-orphans >"$STATE/up.log" 2>&1 </dev/null; then
    tail -n 20 "$STATE/up.log" >&2
    die "the containers did not start; bash run.sh logs NAME, with NAME broker, database or controller"
  fi
  eventually 60 controller_ready || die "the controller is not ready: $READY_REASON"
  [[ -z $profile ]] || eventually 60 docker_demo_arrived ||
    die "no demo messages arrived within 60 s: see bash run.sh logs"
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

docker_tool() { compose_exec controller feedvault "$@"; }

docker_logs() {  # [NAME] [-f]
  [[ -t 1 ]] || set -- --no-color "$@"
  compose --profile demo --profile upstream-feeds logs --tail 50 "$@"
}
