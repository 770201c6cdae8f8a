#!/usr/bin/env bash
# Keeps one program running: supervise.sh STATE NAME GRACE COMMAND...
#
# Starts it again when it ends, at once the first time and then after a delay that doubles up to
# 10 s; SIGTERM ends it (SIGKILL after GRACE seconds) and this script with it. A program that ends
# with code 2 three times in a row has a bad configuration: the reason is left in run/NAME.failed
# and it is not started again.
#
# Files: run/NAME.supervisor and run/NAME.pid (see process.sh), log/NAME.log (what it prints),
# log/supervisor.log (starts and ends).
set -uo pipefail

# shellcheck source=deploy/native/process.sh
. "${BASH_SOURCE[0]%/*}/process.sh"

readonly state=$1 name=$2 grace=$3
shift 3
readonly log=$state/log/$name.log log_bytes_max=$((32 << 20))

child='' stopping='' sleeper=''
trap 'stopping=1; end_pause; [[ -z $child ]] || kill -TERM "$child" 2>/dev/null' TERM
# What a terminal sends to the shell that started us is not for us.
trap '' INT HUP

note() { printf '%s %s %s\n' "$(date -u +%FT%TZ)" "$name" "$*" >>"$state/log/supervisor.log"; }

pause() {  # SECONDS; ends early when we are told to stop, which may happen before we wait
  sleep "$1" &
  sleeper=$!
  [[ -z $stopping ]] || end_pause
  wait "$sleeper" || end_pause
}
end_pause() { [[ -z $sleeper ]] || kill "$sleeper" 2>/dev/null; }

# Waits for the child's end, through the interruption by a signal. Sets `code`.
await_child() {
  local deadline=
  while :; do
    wait "$child" 2>/dev/null
    code=$?
    kill -0 "$child" 2>/dev/null || return
    [[ -n $stopping ]] || continue
    deadline=${deadline:-$((SECONDS + grace))}
    # From here on poll, so that the grace can run out.
    while kill -0 "$child" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
    if kill -0 "$child" 2>/dev/null; then
      note "did not stop within $grace s: killed"
      kill -KILL "$child" 2>/dev/null
    fi
  done
}

record_process "$state/run/$name.supervisor" $$
rm -f "$state/run/$name.failed"
delay_ms=0 refusals=0
while [[ -z $stopping ]]; do
  if [[ -e $log && $(stat -c %s "$log") -gt $log_bytes_max ]]; then mv "$log" "$log.1"; fi
  started=$SECONDS
  "$@" >>"$log" 2>&1 </dev/null &
  child=$!
  # A SIGTERM that came before we knew the child has not reached it.
  [[ -z $stopping ]] || kill -TERM "$child" 2>/dev/null
  record_process "$state/run/$name.pid" "$child"
  note "started pid=$child"
  await_child
  child=''
  rm -f "$state/run/$name.pid"
  note "ended code=$code"
  [[ -z $stopping ]] || break

  if ((code == 2)); then ((refusals++)); else refusals=0; fi
  if ((refusals == 3)); then
    note "given up: it ended with code 2 three times"
    # Whoever sees it finds the reason in it.
    tail -n 1 "$log" >"$state/run/$name.failed.new"
    mv "$state/run/$name.failed.new" "$state/run/$name.failed"
    break
  fi
  ((SECONDS - started < 30)) || delay_ms=0
  pause "$((delay_ms / 1000)).$(printf '%03d' $((delay_ms % 1000)))"
  delay_ms=$((delay_ms == 0 ? 200 : delay_ms * 2))
  ((delay_ms <= 10000)) || delay_ms=10000
done
rm -f "$state/run/$name.supervisor"
