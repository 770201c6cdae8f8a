# shellcheck shell=bash
# Which broker an installation has, and how it gets another one. Sourced by bash.
#
# FEEDVAULT_BROKER chooses: feedvault-broker (ours, the default), nats-server (Debian's), or the path
# of either program. Their files are not each other's, and a broker that finds none of its own starts
# with empty streams. So an installation that has streams keeps its broker until FEEDVAULT_BROKER
# names another one, and then what its ingest streams hold is catalogued first: that is the only copy
# of it. Everything else about streams can be rebuilt out of the table.

# Which of the two a program is, by its name or by what it says of itself.
broker_kind() {  # PROGRAM
  local version
  case $1 in
    feedvault-broker | nats-server)
      printf '%s\n' "$1"
      return
      ;;
  esac
  version=$("$1" --version 2>&1 </dev/null) ||
    die "the broker '$1' does not run (${version%%$'\n'*}): name another with" \
      "FEEDVAULT_BROKER"
  if [[ $version == *feedvault-broker* || $version == *'speaks as nats-server'* ]]; then
    echo feedvault-broker
  else
    echo nats-server
  fi
}

# Sets BROKER and, when the streams that are there are another one's, BROKER_BEFORE.
choose_broker() {
  local recorded stored wanted
  if [[ $MODE == docker ]]; then
    # An image that the environment names is one of nats-server.
    [[ -z ${FEEDVAULT_BROKER_IMAGE:-} ]] || FEEDVAULT_BROKER=${FEEDVAULT_BROKER:-nats-server}
    case ${FEEDVAULT_BROKER:-} in
      '' | feedvault-broker | nats-server) ;;
      *) die "FEEDVAULT_BROKER is '$FEEDVAULT_BROKER': in mode docker it can be feedvault-broker" \
        "or nats-server (FEEDVAULT_BROKER_IMAGE names another image of nats-server)" ;;
    esac
  fi
  recorded=$(recorded_setting BROKER)
  stored=$("${MODE}_stored_broker") || exit 1
  BROKER=${FEEDVAULT_BROKER:-${recorded:-${stored:-feedvault-broker}}} BROKER_BEFORE=''
  wanted=$(broker_kind "$BROKER") || exit 1
  [[ -n $stored && $wanted != "$stored" ]] || return 0
  BROKER_BEFORE=$stored
  [[ -z $recorded || $(broker_kind "$recorded") != "$stored" ]] || BROKER_BEFORE=$recorded
  # Not asked for: files that are not what was recorded are the truth.
  if [[ -z ${FEEDVAULT_BROKER:-} ]]; then BROKER=$BROKER_BEFORE BROKER_BEFORE=''; fi
}

# The broker that runs stays; what is asked for now is not what it was started with.
keep_running_broker() {
  BROKER=$(recorded_setting BROKER) BROKER_BEFORE=''
  BROKER=${BROKER:-${FEEDVAULT_BROKER:-feedvault-broker}}
  [[ -z ${FEEDVAULT_BROKER:-} || $FEEDVAULT_BROKER == "$BROKER" ]] ||
    die "it runs with the broker $BROKER: for $FEEDVAULT_BROKER, bash run.sh down, first"
}

# Some port that nothing listens on and no setting names.
unused_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    port_in_use "$port" || break
  done
  printf '%s\n' "$port"
}

# Messages that are captured and not catalogued and published yet, of all feeds; false while a feed
# does not say.
uncatalogued() {
  "${MODE}_tool" status --json 2>/dev/null </dev/null |
    grep -o '"lag_messages":[^,]*' | awk -F: '
      $2 == "null" { unknown = 1 }
      { sum += $2 }
      END { if (NR == 0 || unknown) exit 1; printf "%d\n", sum }'
}

# True once everything is catalogued; false when nothing has moved for a minute. Sets LAG.
await_catalogued() {
  local deadline=$((SECONDS + 60)) lag
  LAG=unknown
  while ((SECONDS < deadline)); do
    if lag=$(uncatalogued); then
      ((lag != 0)) || return 0
      if [[ $lag != "$LAG" ]]; then deadline=$((SECONDS + 60)) LAG=$lag; fi
    fi
    pause 0.5
  done
  return 1
}

# Starts the broker that the streams belong to on a port that no producer knows, has the controller
# catalogue what they hold, and puts its files aside. Whatever fails before that changes nothing.
change_broker() {
  local wanted=$BROKER before=$BROKER_BEFORE port=$FEEDVAULT_NATS_PORT
  BROKER=$before
  record_settings
  say "changing the broker from $before to $wanted: first, what $before holds is catalogued"
  FEEDVAULT_NATS_PORT=$(unused_port)
  "${MODE}_start_pipeline"
  await_catalogued ||
    die "not changed: $LAG messages of $before are not catalogued. Go on with it" \
      "(FEEDVAULT_BROKER=$before bash run.sh up), see why (bash run.sh status), then try again"
  BROKER=$wanted
  "${MODE}_put_streams_aside" "$(broker_kind "$before")"
  FEEDVAULT_NATS_PORT=$port BROKER_BEFORE=''
  record_settings
}
