#!/usr/bin/env bash
# Runs docker-compose.yml on a real Docker engine, through run.sh --mode docker, as a reader of the
# README would, and checks: messages arrive, every process may be killed with -9 without loss or
# repeats, data survives `down`, the original producers' profile works. Not part of ctest: it needs
# root and takes minutes (20 at most).
#
#   bash tests/docker/run.sh [--keep]      --keep: leave the images and the private engine's data
#
# The engine: the one that answers (DOCKER_HOST is honoured), else a private dockerd in a temporary
# folder. With both compose programs installed, each is used in turn.
# Images that cannot be pulled get stand-ins: Debian's base from debootstrap with this machine's apt
# sources, mysql:8.4 from Debian's MySQL server, the producers from our demo producers. To choose
# others: FEEDVAULT_DEBIAN_IMAGE, FEEDVAULT_MYSQL_IMAGE, FEEDVAULT_SPORT_FEED_IMAGE,
# FEEDVAULT_EXECUTION_FEED_IMAGE.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
readonly HERE ROOT PULL_LIMIT_S=120
keep='' dockerd_pid=''
[[ ${1:-} != --keep ]] || keep=1
WORK=$(mktemp -d "${TMPDIR:-/tmp}/feedvault-docker-XXXXXX")
readonly WORK STATE=$WORK/state

say() { printf '== %s (at %d s)\n' "$*" "$SECONDS"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# Everything this script made goes again, also after a failure.
clean_up() {
  local code=$?
  trap - EXIT
  ((code == 0)) || run_sh logs 2>/dev/null | tail -n 60
  [[ ! -e $STATE/settings ]] || remove_installation || true
  if [[ -n $dockerd_pid ]]; then
    kill "$dockerd_pid" || true
    wait "$dockerd_pid" 2>/dev/null || true
  fi
  [[ -n $keep ]] || rm -rf "$WORK"
  if ((code == 0)); then say 'passed'; else say 'failed'; fi
  exit "$code"
}

run_sh() { bash "$ROOT/run.sh" --mode docker --state "$STATE" "$@"; }

start_engine() {
  if docker info >/dev/null 2>&1; then return; fi
  if ((EUID != 0)) || ! command -v dockerd >/dev/null; then
    fail "no Docker engine answers; as root, with dockerd installed, this script starts one"
  fi
  say 'starting a private engine'
  export DOCKER_HOST=unix://$WORK/docker.sock
  dockerd --data-root "$WORK/docker" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
    -H "$DOCKER_HOST" >"$WORK/dockerd.log" 2>&1 &
  dockerd_pid=$!
  local attempts=0
  until docker info >/dev/null 2>&1; do
    ((attempts++ < 60)) || fail "dockerd does not answer: $(tail -n 3 "$WORK/dockerd.log")"
    sleep 0.5
  done
}

available() {  # IMAGE; here already, or pulled
  docker image inspect "$1" >/dev/null 2>&1 ||
    timeout "$PULL_LIMIT_S" docker pull -q "$1" >/dev/null 2>&1
}

debian_image() {
  export FEEDVAULT_DEBIAN_IMAGE=${FEEDVAULT_DEBIAN_IMAGE:-debian:bookworm-slim}
  if available "$FEEDVAULT_DEBIAN_IMAGE"; then return; fi
  say "making a stand-in for $FEEDVAULT_DEBIAN_IMAGE"
  command -v debootstrap >/dev/null || fail "$FEEDVAULT_DEBIAN_IMAGE cannot be pulled: install debootstrap"
  FEEDVAULT_DEBIAN_IMAGE=feedvault-test-debian:bookworm
  if docker image inspect "$FEEDVAULT_DEBIAN_IMAGE" >/dev/null 2>&1; then return; fi
  local mirror
  mirror=$(awk '$1 == "URIs:" {print $2; exit} $1 == "deb" {print $2; exit}' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null) || true
  debootstrap --variant=minbase bookworm "$WORK/rootfs" ${mirror:+"$mirror"} \
    >"$WORK/debootstrap.log" 2>&1 || fail "debootstrap: $(tail -n 3 "$WORK/debootstrap.log")"
  # The way to packages is this machine's.
  rm -f "$WORK/rootfs/etc/apt/sources.list"
  cp -a /etc/apt/sources.list.d /etc/apt/apt.conf.d "$WORK/rootfs/etc/apt/"
  [[ ! -e /etc/apt/sources.list ]] || cp /etc/apt/sources.list "$WORK/rootfs/etc/apt/"
  find "$WORK/rootfs/var/cache/apt/archives" -name '*.deb' -delete
  # So is whom npm trusts, while the dashboard is built in: networks may have certificates of their own.
  local trusted=/usr/local/share/machine-certificates.crt
  cp /etc/ssl/certs/ca-certificates.crt "$WORK/rootfs$trusted"
  tar -C "$WORK/rootfs" -c . | docker import -c 'CMD ["bash"]' -c "ENV NODE_EXTRA_CA_CERTS=$trusted" - \
    "$FEEDVAULT_DEBIAN_IMAGE" >/dev/null
  rm -rf "$WORK/rootfs"
}

database_image() {
  export FEEDVAULT_MYSQL_IMAGE=${FEEDVAULT_MYSQL_IMAGE:-mysql:8.4}
  if available "$FEEDVAULT_MYSQL_IMAGE"; then return; fi
  say "making a stand-in for $FEEDVAULT_MYSQL_IMAGE"
  FEEDVAULT_MYSQL_IMAGE=feedvault-test-mysql
  docker build -t "$FEEDVAULT_MYSQL_IMAGE" --build-arg "DEBIAN_IMAGE=$FEEDVAULT_DEBIAN_IMAGE" \
    "$HERE/mysql" >"$WORK/mysql-build.log" 2>&1 || fail "$(tail -n 5 "$WORK/mysql-build.log")"
}

# Stand-ins speak as the original producers do: a plain PUB to host.docker.internal:4222.
producer_image() {  # VARIABLE ORIGINAL FEED
  local variable=$1 image=${!1:-$2}
  export "$variable=$image"
  if available "$image"; then return; fi
  say "making a stand-in for $image"
  export "$variable=feedvault-test-$3"
  docker build -t "feedvault-test-$3" - >"$WORK/$3-build.log" 2>&1 <<DOCKERFILE || fail "$3 stand-in"
FROM ${FEEDVAULT_IMAGE:-feedvault:local}
ENV FEEDVAULT_NATS_HOST=host.docker.internal
CMD ["feedvault-feeds", "--config", "/etc/feedvault/config.toml", "--feed", "$3", "--rate", "50", \
     "--publish", "plain"]
DOCKERFILE
}

choose_ports() {
  local name port
  for name in NATS MONITOR HTTP CONTROLLER MYSQL; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
    export "FEEDVAULT_${name}_PORT=$port"
  done
}

remove_installation() {
  run_sh down
  docker volume ls -q --filter "label=com.docker.compose.project=$PROJECT" |
    xargs -r docker volume rm >/dev/null
}

container() {  # SERVICE
  docker ps -aq --filter "label=com.docker.compose.service=$1" \
    --filter "label=com.docker.compose.project=$PROJECT"
}

rows() { run_sh sql -N -e "SELECT COUNT(*) FROM Messages WHERE feed = $1" </dev/null; }

eventually() {  # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.3
  done
}

grows_from() { [[ $(rows "$1") -gt $2 ]]; }  # FEED COUNT
healthy() {
  [[ $(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")") == healthy ]]
}
restarted() {  # SERVICE PID
  local pid
  pid=$(docker inspect -f '{{.State.Pid}}' "$(container "$1")")
  ((pid != 0 && pid != $2))
}

# Ends the process of a container, not the container: that is what its restart policy is for.
kill_process() {  # SERVICE
  local pid
  pid=$(docker inspect -f '{{.State.Pid}}' "$(container "$1")")
  kill -KILL "$pid"
  eventually 60 restarted "$1" "$pid" || fail "$1 was not restarted"
  eventually 90 healthy "$1" || fail "$1 is not healthy after its restart"
}

# Both feeds: seq 1..N without a gap, no id twice, and the checkpoint agrees.
assert_dense() {
  local line
  line=$(run_sh sql -N -e "SELECT COUNT(*) FROM (SELECT f.feed FROM Feeds f JOIN Messages m
    ON m.feed = f.feed GROUP BY f.feed, f.last_seq HAVING COUNT(*) = f.last_seq
    AND MAX(m.seq) = f.last_seq AND COUNT(DISTINCT m.id) = f.last_seq) good" </dev/null)
  [[ $line == 2 ]] || fail "a feed has gaps or repeats"
}

runs_broker() {  # PROGRAM
  docker top "$(container broker)" -o pid,args | grep -q "$1" || fail "the broker is not $1"
}

rows_after_up() {  # BROKER
  FEEDVAULT_BROKER=$1 run_sh up >&2
  rows 2
}

check_everything() {
  local name before
  say 'up'
  run_sh up
  PROJECT=$(docker ps --filter "publish=$FEEDVAULT_CONTROLLER_PORT" \
    --format '{{.Label "com.docker.compose.project"}}')
  say 'the tools'
  run_sh status --json </dev/null | grep -q '"executions"' || fail 'status --json'
  run_sh tail executions --from first --count 3 --json </dev/null | grep -q '"seq"' || fail 'tail'
  [[ $(run_sh sql -N -e 'SELECT COUNT(*) > 0 FROM Executions' </dev/null) == 1 ]] || fail 'view'
  for name in controller broker; do
    [[ $(docker inspect -f '{{.Config.User}}' "$(container "$name")") != '' ]] ||
      fail "the $name runs as root"
  done
  runs_broker feedvault-broker
  for name in controller broker database; do
    say "kill -9 of the $name"
    before=$(rows 2)
    kill_process "$name"
    eventually 90 healthy controller || fail "the controller is not ready after $name was killed"
    eventually 60 grows_from 2 "$((before + 20))" || fail "nothing arrives after $name was killed"
  done
  assert_dense
  say 'down and up: the data stays'
  before=$(rows 1)
  run_sh down
  [[ -z $(container controller) ]] || fail 'down left containers'
  run_sh up --no-demo
  (($(rows 1) >= before)) || fail 'rows are gone'
  [[ -z $(container feeds) ]] || fail '--no-demo has demo producers'
  assert_dense
  run_sh down
  for name in nats-server feedvault-broker; do
    say "another broker: $name"
    before=$(rows_after_up "$name")
    runs_broker "$name"
    eventually 60 grows_from 2 "$before" || fail "nothing arrives with $name"
    assert_dense
    run_sh down
  done
  say 'the original producers'
  producer_image FEEDVAULT_SPORT_FEED_IMAGE wsumfest/sport-feed:v1 events
  producer_image FEEDVAULT_EXECUTION_FEED_IMAGE wsumfest/execution-feed:v1 executions
  FEEDVAULT_PROFILE=upstream-feeds run_sh up
  eventually 60 grows_from 1 "$before" || fail 'nothing comes from the sport feed'
  assert_dense
  remove_installation
}

# One cache of image layers for both, where BuildKit can be had.
if docker buildx version >/dev/null 2>&1; then
  export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
fi
PROJECT=none compose_was_there=''
trap clean_up EXIT
trap 'exit 130' INT TERM
start_engine
debian_image
database_image
choose_ports
for FEEDVAULT_COMPOSE in 'docker compose' docker-compose; do
  export FEEDVAULT_COMPOSE
  if $FEEDVAULT_COMPOSE version >/dev/null 2>&1; then
    say "with: $FEEDVAULT_COMPOSE ($($FEEDVAULT_COMPOSE version --short))"
    check_everything
    compose_was_there=1
  fi
done
[[ -n $compose_was_there ]] || fail "neither 'docker compose' nor docker-compose is installed"
