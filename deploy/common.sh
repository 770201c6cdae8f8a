# shellcheck shell=bash
# What run.sh and all of deploy/ share: messages, settings, waiting, HTTP. Sourced by bash.
# Requires: ROOT, the checkout's folder.

say() { printf '%s\n' "$*"; }
warn() { printf 'feedvault: %s\n' "$*" >&2; }
die() {
  warn "$*"
  exit 1
}

# Listeners, their settings (FEEDVAULT_<NAME>_PORT) and their defaults, as in config.toml.
readonly PORT_NAMES=(NATS MONITOR HTTP CONTROLLER MYSQL)
declare -grA PORT_DEFAULTS=([NATS]=4222 [MONITOR]=8222 [HTTP]=8080 [CONTROLLER]=8081 [MYSQL]=3306)

# What `up` used is recorded in the state folder, so that the other commands need no repetition.
recorded_setting() {  # NAME; empty when there is none
  [[ -r $STATE/settings ]] || return 0
  sed -n "s/^$1=//p" "$STATE/settings"
}

record_settings() {
  local name port
  {
    printf 'MODE=%s\nDEMO=%s\nBROKER=%s\n' "$MODE" "$DEMO" "$BROKER"
    for name in "${PORT_NAMES[@]}"; do
      port=FEEDVAULT_${name}_PORT
      printf '%s=%s\n' "$port" "${!port}"
    done
  } >"$STATE/settings.new"
  mv "$STATE/settings.new" "$STATE/settings"
}

up_recorded() { [[ -n $(recorded_setting FEEDVAULT_NATS_PORT) ]]; }

# After `down` mode and broker are remembered: they say where the data is, and whose.
forget_settings() {
  if [[ -e $STATE/settings ]]; then
    grep -E '^(MODE|BROKER)=' "$STATE/settings" >"$STATE/settings.new"
    mv "$STATE/settings.new" "$STATE/settings"
  fi
}

# Exports FEEDVAULT_*_PORT: what is recorded of a running installation, else the environment, else
# the default.
load_ports() {
  local name variable value other
  local -A seen=()
  for name in "${PORT_NAMES[@]}"; do
    variable=FEEDVAULT_${name}_PORT
    value=$(recorded_setting "$variable")
    value=${value:-${!variable:-${PORT_DEFAULTS[$name]}}}
    if [[ ! $value =~ ^[1-9][0-9]{0,4}$ ]] || ((value > 65535)); then
      die "$variable is '$value': give a port number from 1 to 65535"
    fi
    other=${seen[$value]:-}
    [[ -z $other ]] || die "$variable and $other are both $value: give each listener its own port"
    seen[$value]=$variable
    export "$variable=$value"
  done
}

# True when something listens on the port of loopback or of all addresses. Reads the kernel's table
# rather than connecting, which a server would count and log.
port_in_use() {  # PORT
  local hex
  printf -v hex ':%04X' "$1"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    awk -v port="$hex" '
      $4 == "0A" && substr($2, length($2) - 4) == port &&
      ($2 ~ /^0+:/ || $2 ~ /^0100007F:/ || $2 ~ /^0+1000000:/) { found = 1 }
      END { exit !found }'
}

require_free_port() {  # NAME USE
  local variable=FEEDVAULT_$1_PORT
  port_in_use "${!variable}" || return 0
  die "port ${!variable} ($2) is in use: stop what listens there, or choose another with" \
    "$variable=PORT"
}

# GET http://127.0.0.1:PORT/PATH. Prints the body; 0 only for status 200.
http_get() {  # PORT PATH
  local port=$1 path=$2
  # A subshell: bash keeps the socket no longer than this, and timeout bounds a stopped server.
  # shellcheck disable=SC2016
  timeout 5 bash -c '
    exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" "$2" >&3
    IFS= read -r status <&3 || exit 1
    while IFS= read -r header <&3 && [[ ${header%$'"'\\r'"'} ]]; do :; done
    cat <&3
    [[ $status == HTTP/*" 200 "* ]]' http_get "$port" "$path"
}

# Asks the controller whether it is ready. Sets READY_REASON: why not, as far as it says.
# shellcheck disable=SC2034
controller_ready() {
  local answer
  READY_REASON='it does not answer'
  answer=$(http_get "$FEEDVAULT_CONTROLLER_PORT" /readyz) && return 0
  [[ -z $answer ]] ||
    READY_REASON=$(grep -o '"reason":"[^"]\+"' <<<"$answer" | sed 's/^"reason"://' |
      sort -u | paste -sd ' ')
  return 1
}

# Random passwords, made once and kept readable by the owner only. Exports DB_*_PASSWORD.
load_secrets() {
  local file=$STATE/secrets name
  if [[ ! -e $file ]]; then
    (
      umask 077
      for name in ROOT SCHEMA SERVICE READER; do
        printf 'DB_%s_PASSWORD=%s\n' "$name" "$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')"
      done >"$file.new"
    )
    mv "$file.new" "$file"
  fi
  # shellcheck source=/dev/null
  . "$file"
  export DB_ROOT_PASSWORD DB_SCHEMA_PASSWORD DB_SERVICE_PASSWORD DB_READER_PASSWORD
}

# Asks a condition every 0.2 s; false when it has not come true in time.
eventually() {  # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    pause 0.2
  done
}

# Sleeps so that a trapped signal is handled at once. A trap that wants to end it sets `interrupted`
# and calls end_pause: the signal may come before the shell waits.
sleeper=''
pause() {  # SECONDS
  sleep "$1" &
  sleeper=$!
  [[ -z ${interrupted:-} ]] || end_pause
  wait "$sleeper" || end_pause
}
# It may have ended by itself just now.
end_pause() { [[ -z $sleeper ]] || kill "$sleeper" 2>/dev/null || true; }
