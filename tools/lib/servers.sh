# Sourced after common.sh by tools/up and tools/down: one server of a role, started, awaited, stopped.
# Expects `state` (directory) and, to start, `programs` (build directory).
# shellcheck shell=bash

readonly ROLES=(kdc lockserver fileserver)
readonly READY_SECONDS=30 # a server is ready within a second; this is for a machine under load
readonly STOP_SECONDS=10  # a server stops within two

# The directory asked for, or the usual one, as an absolute path.
state_directory() {
  local wanted=${1:-}
  if [ -z "$wanted" ]; then
    if [ "$(id -u)" -eq 0 ]; then
      wanted=/var/lib/troth
    else
      wanted=${XDG_DATA_HOME:-$HOME/.local/share}/troth
    fi
  fi
  realpath -m -- "$wanted"
}

has_systemd() { [ -d /run/systemd/system ] && [ "$(id -u)" -eq 0 ]; }

# One unit name for each state directory, so that two cells can run side by side.
unit_of() { echo "troth-up-$(printf '%s' "$state" | cksum | cut -d' ' -f1)-$1.service"; }

pid_file() { echo "$state/run/$1.pid"; }

# The process id that runs this role, if it still is the process that was started: a number alone
# may long belong to somebody else, so the time of its start is kept with it.
running_pid() {
  local pid started
  [ -e "$(pid_file "$1")" ] || return 1
  read -r pid started <"$(pid_file "$1")" || return 1
  [ "$(process_start "$pid")" = "$started" ] || return 1
  echo "$pid"
}

process_start() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # Field 22, counted after the last ')' of the program's name.
  awk '{print $20}' <<<"${stat##*) }"
}

start_server() {
  local role=$1 program=$programs/$1/troth-$1 configuration=$state/cell/$1/troth-$1.toml
  if has_systemd; then
    systemctl is-active --quiet "$(unit_of "$role")" && return 0
    systemctl reset-failed "$(unit_of "$role")" 2>/dev/null || true
    systemd-run --quiet --unit="$(unit_of "$role")" --description="Troth $role of $state" \
      -p Type=notify -p NotifyAccess=main -p WatchdogSec=30 -p Restart=on-failure -p LimitNOFILE=65536 \
      -- "$program" --config "$configuration" ||
      die "$role did not start: journalctl -u $(unit_of "$role")"
    return 0
  fi
  running_pid "$role" >/dev/null && return 0
  setsid "$program" --config "$configuration" </dev/null >>"$state/log/$role.log" 2>&1 &
  local pid=$!
  echo "$pid $(process_start "$pid")" >"$(pid_file "$role")"
}

# By systemd the start itself waits for readiness; else the server's own health answers.
wait_until_ready() {
  local role=$1 address deadline
  has_systemd && return 0
  address=$(sed -n 's/^ *health_listen *= *"\(.*\)".*/\1/p' "$state/cell/$role/troth-$role.toml")
  deadline=$((SECONDS + READY_SECONDS))
  until health_answers "$address"; do
    if ! running_pid "$role" >/dev/null; then
      tail -3 "$state/log/$role.log" >&2
      die "$role ended while starting; its log: $state/log/$role.log"
    fi
    [ "$SECONDS" -lt "$deadline" ] || die "$role was not ready after $READY_SECONDS s; its log: $state/log/$role.log"
    sleep 0.1
  done
}

health_answers() {
  python3 - "$1" <<'PYTHON'
import http.client, sys
try:
    connection = http.client.HTTPConnection(sys.argv[1], timeout=2)
    connection.request("GET", "/health")
    sys.exit(0 if connection.getresponse().status == 200 else 1)
except OSError:
    sys.exit(1)
PYTHON
}

stop_server() {
  local role=$1 pid deadline
  if has_systemd && systemctl is-active --quiet "$(unit_of "$role")"; then
    systemctl stop "$(unit_of "$role")" && echo "stopped $role ($(unit_of "$role"))"
    return
  fi
  if pid=$(running_pid "$role"); then
    kill -TERM "$pid"
    deadline=$((SECONDS + STOP_SECONDS))
    while running_pid "$role" >/dev/null; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "$role (process $pid) did not stop within $STOP_SECONDS s; left running, see $state/log/$role.log"
        return 1
      fi
      sleep 0.1
    done
    echo "stopped $role (process $pid)"
  fi
  rm -f "$(pid_file "$role")"
}
