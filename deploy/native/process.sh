# shellcheck shell=bash
# Processes that outlive the shell which started them: who they are, and whether they still run.
# Sourced by bash. A process is recorded as "pid start-time boot": a number that was given to
# another process since then does not match, so nothing of others is ever signalled.

process_identity() {  # PID; false when there is no such process, or it is a zombie
  local pid=$1 line
  local -a fields
  { line=$(<"/proc/$pid/stat"); } 2>/dev/null || return 1
  # The second field, the program's name in parentheses, may contain anything.
  read -ra fields <<<"${line##*) }"
  [[ ${fields[0]} != Z ]] || return 1
  printf '%s %s %s\n' "$pid" "${fields[19]}" "$(</proc/sys/kernel/random/boot_id)"
}

record_process() {  # FILE PID
  if process_identity "$2" >"$1.$$"; then mv "$1.$$" "$1"; else rm -f "$1.$$"; fi
}

# Prints the recorded pid if that very process still runs.
recorded_pid() {  # FILE
  local recorded
  { recorded=$(<"$1"); } 2>/dev/null || return 1
  [[ -n $recorded && $(process_identity "${recorded%% *}") == "$recorded" ]] || return 1
  printf '%s\n' "${recorded%% *}"
}

process_gone() { ! recorded_pid "$1" >/dev/null; }  # FILE

# Ends a recorded process: SIGTERM, and SIGKILL when it still runs after the grace.
end_process() {  # FILE SECONDS
  local file=$1 deadline=$((SECONDS + $2)) pid
  if pid=$(recorded_pid "$file"); then
    kill -TERM "$pid" 2>/dev/null
    while ((SECONDS < deadline)) && ! process_gone "$file"; do sleep 0.1; done
    if pid=$(recorded_pid "$file"); then
      printf 'feedvault: process %s did not stop within %s s: killed\n' "$pid" "$2" >&2
      kill -KILL "$pid" 2>/dev/null
      while ! process_gone "$file"; do sleep 0.05; done
    fi
  fi
  rm -f "$file"
}
