#!/usr/bin/env bash
# Brings Feedvault up and down on this machine; `bash run.sh --help` tells the rest.
set -uo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Debian keeps servers where only root's PATH looks.
export PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=deploy/common.sh
. "$ROOT/deploy/common.sh"
# shellcheck source=deploy/broker.sh
. "$ROOT/deploy/broker.sh"

usage() {
  cat <<'HELP'
Feedvault records every message of your feeds exactly once in MySQL and serves it exactly once.

  bash run.sh                  everything up, a live status line; Ctrl-C stops it all
  bash run.sh up               the same in the background; returns once it works
  bash run.sh down             stops it; the data stays
  bash run.sh status [--watch] [--json]
                               every feed: captured, catalogued, published, quarantined, lag, rate
  bash run.sh sql [-e QUERY]   the catalogue's SQL prompt, or one query (read-only user)
  bash run.sh tail FEED [--from new|first|SEQ|TIME] [--json] [--count N]
                               subscribes to a feed and prints it
  bash run.sh history FEED [--from FROM] [--to TO] [--format ndjson|csv|table] [FIELD=VALUE ...]
                               prints what the table holds of a feed
  bash run.sh verify FEED      compares table and stream, message by message
  bash run.sh quarantine list|show|export|requeue ...
                               what could not be catalogued
  bash run.sh doctor           examines what must be right, with a remedy for what is not
  bash run.sh logs [NAME] [-f] logs of all processes or of one
  bash run.sh test             builds and runs all tests
  bash run.sh bench [pipeline|broker|streams|store|subscribers] ...
                               measures on private instances (minutes)
  bash run.sh install [run|test|check]
                               installs missing packages only (as root)

Options
  --mode docker|native  in containers, or in processes of this machine (Debian 12). Default: docker
                        where a Docker engine answers, else native
  --no-demo             without the demo producers
  --state DIR           where an installation keeps everything (default: var/ in this folder)

Environment: FEEDVAULT_NATS_PORT (4222), FEEDVAULT_MONITOR_PORT (8222), FEEDVAULT_MYSQL_PORT (3306),
FEEDVAULT_CONTROLLER_PORT (8081), FEEDVAULT_HTTP_PORT (8080); FEEDVAULT_DEMO_RATE (demo messages a
second, 20). Two installations with different ports and state folders work side by side.
FEEDVAULT_BROKER: feedvault-broker (the default), nats-server, or in native mode the path of such a
program. An installation keeps its broker until this names another one; what the old one still holds
is catalogued before it is changed.
HELP
}

parse_arguments() {
  COMMAND='' MODE='' DEMO=yes STATE='' ARGUMENTS=()
  while (($#)); do
    case $1 in
      --mode=* | --state=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case $1 in
      --mode | --state)
        (($# > 1)) || die "$1 needs a value: see bash run.sh --help"
        if [[ $1 == --mode ]]; then MODE=$2; else STATE=$2; fi
        shift
        ;;
      --no-demo) DEMO=no ;;
      --)
        ARGUMENTS+=("${@:2}")
        break
        ;;
      -h | --help)
        # After a command it is for that command's program.
        if [[ -z $COMMAND ]]; then COMMAND=help; else ARGUMENTS+=("$1"); fi
        ;;
      *)
        if [[ -n $COMMAND ]]; then
          ARGUMENTS+=("$1")
        elif [[ $1 == -* ]]; then
          die "unknown option '$1': see bash run.sh --help"
        else
          COMMAND=$1
        fi
        ;;
    esac
    shift
  done
  COMMAND=${COMMAND:-run}
  [[ -z $MODE || $MODE == docker || $MODE == native ]] ||
    die "--mode is '$MODE': it can be docker or native"
}

no_arguments() { ((${#ARGUMENTS[@]} == 0)) || die "unknown argument '${ARGUMENTS[0]}'"; }

# Mode: as asked, else as the last time (the data is there), else docker where an engine answers.
load_mode() {
  local recorded
  recorded=$(recorded_setting MODE)
  if up_recorded && [[ -n $MODE && $MODE != "$recorded" ]]; then
    die "it is up in mode $recorded: bash run.sh down, first"
  fi
  MODE=${MODE:-$recorded}
  if [[ -z $MODE ]]; then
    if docker_usable; then MODE=docker; else MODE=native; fi
  fi
  # shellcheck source=deploy/native/services.sh
  [[ $MODE == docker ]] || . "$ROOT/deploy/native/services.sh"
}

load_installation() {
  STATE=${STATE:-$ROOT/var}
  if [[ $COMMAND == up || $COMMAND == run ]]; then
    if ! { mkdir -p "$STATE" && chmod 700 "$STATE"; }; then
      die "cannot create $STATE: choose another with --state DIR"
    fi
  fi
  [[ ! -d $STATE ]] || STATE=$(cd "$STATE" && pwd)
  CONFIG=${FEEDVAULT_CONFIG:-$ROOT/config.toml}
  # shellcheck source=deploy/docker/compose.sh
  . "$ROOT/deploy/docker/compose.sh"
  load_mode
  load_ports
}

# Everything but `up` needs an installation.
load_existing() {
  load_installation
  up_recorded || die "nothing runs with the state folder $STATE: bash run.sh up (or name it with --state DIR)"
  load_secrets
}

show_endpoints() {
  say "Feedvault runs (mode $MODE, state in $STATE):"
  say "  producers and subscribers   nats://127.0.0.1:$FEEDVAULT_NATS_PORT"
  say "  broker's monitoring         http://127.0.0.1:$FEEDVAULT_MONITOR_PORT"
  say "  catalogue                   mysql://127.0.0.1:$FEEDVAULT_MYSQL_PORT/nss_db"
  say "  dashboard                   http://127.0.0.1:$FEEDVAULT_HTTP_PORT/"
  say "  feeds over HTTP             http://127.0.0.1:$FEEDVAULT_HTTP_PORT/feeds"
  say "  health and metrics          http://127.0.0.1:$FEEDVAULT_CONTROLLER_PORT/readyz  /metrics"
}

# One at a time for each state folder.
take_lock() {
  exec 9>"$STATE/lock" || die "cannot write $STATE/lock"
  flock -n 9 || die "another run.sh is starting or stopping $STATE: wait for it"
}

release_lock() { exec 9>&-; }

bring_up() {
  take_lock
  local already_up=yes
  if ! "${MODE}_running"; then
    already_up=no
    forget_settings
    load_ports
  fi
  load_secrets
  if [[ $already_up == yes ]]; then keep_running_broker; else choose_broker; fi
  # What fails half-way, or is interrupted, leaves nothing running.
  if [[ $already_up == no ]]; then
    trap 'trap "" INT TERM HUP; warn "stopping what was started"; "${MODE}_down"
      forget_settings' EXIT
    trap 'exit 130' INT TERM HUP
  fi
  "${MODE}_up"
  trap - EXIT INT TERM HUP
  release_lock
}

take_down() {
  take_lock
  "${MODE}_down"
  forget_settings
  release_lock
}

# One line out of the controller's metrics. `previous`: what was catalogued at the last call.
declare -A previous=()
status_line() {
  local feed seq lag quarantined line='' rate
  while read -r feed seq lag quarantined; do
    rate=$(((seq - ${previous[$feed]:-$seq}) / STATUS_INTERVAL_S))
    previous[$feed]=$seq
    line+="${line:+ | }$feed: $seq catalogued, $rate/s, lag $lag"
    ((quarantined == 0)) || line+=", $quarantined quarantined"
  done < <(http_get "$FEEDVAULT_CONTROLLER_PORT" /metrics | awk '
    match($1, /^feedvault_controller_(last_seq|lag_messages|quarantined_total)\{/) {
      name = substr($1, 22, RLENGTH - 22)
      split($1, parts, "\"")
      value[parts[2], name] = $2
      if (name == "last_seq") order[++feeds] = parts[2]
    }
    END {
      for (i = 1; i <= feeds; i++)
        printf "%s %d %d %d\n", order[i], value[order[i], "last_seq"],
          value[order[i], "lag_messages"], value[order[i], "quarantined_total"]
    }' | sort)
  STATUS_LINE=${line:-the controller does not answer; it is being restarted}
  http_get "$FEEDVAULT_CONTROLLER_PORT" /readyz >/dev/null ||
    STATUS_LINE="NOT READY (bash run.sh logs controller) | $STATUS_LINE"
}

# A line that follows the feeds until Ctrl-C: on a terminal one that changes, elsewhere one every 10 s.
watch_status() {
  interrupted=''
  trap 'interrupted=1; end_pause' INT TERM HUP
  STATUS_INTERVAL_S=10
  [[ ! -t 1 ]] || STATUS_INTERVAL_S=1
  while [[ -z $interrupted ]] && up_recorded; do
    status_line
    if [[ -t 1 ]]; then
      printf '\r\033[K%s' "${STATUS_LINE:0:$(($(tput cols 2>/dev/null || echo 80) - 1))}"
    else
      say "$STATUS_LINE"
    fi
    pause "$STATUS_INTERVAL_S"
  done
  [[ ! -t 1 ]] || printf '\n'
}

main() {
  parse_arguments "$@"
  case $COMMAND in
    help) usage ;;
    run)
      no_arguments
      load_installation
      bring_up
      show_endpoints
      say 'Ctrl-C stops it all.'
      watch_status
      if ! up_recorded; then
        say 'it was stopped by another run.sh'
        return
      fi
      say 'stopping ...'
      trap '' INT TERM HUP
      take_down
      say 'stopped; the data stays.'
      ;;
    up)
      no_arguments
      load_installation
      bring_up
      show_endpoints
      ;;
    down)
      no_arguments
      load_installation
      [[ -d $STATE ]] || die "there is no state folder $STATE: name it with --state DIR"
      load_secrets
      take_down
      ;;
    status)
      load_existing
      "${MODE}_tool" status "${ARGUMENTS[@]}"
      ;;
    tail | history | verify | quarantine | doctor)
      load_existing
      "${MODE}_tool" "$COMMAND" "${ARGUMENTS[@]}"
      ;;
    sql | logs)
      load_existing
      "${MODE}_$COMMAND" "${ARGUMENTS[@]}"
      ;;
    test | bench | install)
      # shellcheck source=deploy/native/packages.sh
      . "$ROOT/deploy/native/packages.sh"
      "command_$COMMAND" "${ARGUMENTS[@]}"
      ;;
    *) die "unknown command '$COMMAND': see bash run.sh --help" ;;
  esac
}

command_install() { install_packages "${1:-run}"; }

command_test() {
  install_packages test
  build_preset test
  # Most of them wait for servers: more at a time than there are cores.
  cd "$ROOT" && ctest --preset test --parallel $(($(nproc) * 3)) "$@"
}

command_bench() {
  install_packages test
  build_preset bench
  FEEDVAULT_BUILD_DIR=$BUILD_DIR bash "$ROOT/bench/run.sh" "$@"
}

main "$@"
