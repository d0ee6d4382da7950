# Sourced by tools/clean-room: boots a real systemd as first process of the root and has it run
# tools/lib/prove-units. Expects root, suite, inside, say, LIMIT_SECONDS, ROOM_CLONE.
# shellcheck shell=bash

readonly BOOT_SECONDS=600

# A cgroup of our own on the machine's cgroup v2, so that systemd's tree hangs below it and goes away.
make_cgroup() {
  local top
  top=$(findmnt -n -o TARGET -t cgroup2 | head -1)
  [ -n "$top" ] || return 1
  cgroup=$top/troth-clean-room.$$
  mkdir "$cgroup"
}

remove_cgroup() {
  [ -n "${cgroup:-}" ] && [ -d "$cgroup" ] || return 0
  echo 1 >"$cgroup/cgroup.kill" 2>/dev/null || true
  local deadline=$((SECONDS + 10))
  until find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; do
    sleep 0.2
  done
}

boot_systemd() {
  local code=0
  say "clean-room $suite: building and installing the release into /usr"
  inside "$LIMIT_SECONDS" "$ROOM_CLONE/tools/lib/prove-units" --prepare >&2 || {
    say "clean-room $suite: preparing failed"
    echo "0 passed, 1 failed, 0 skipped"
    return 1
  }
  make_cgroup || {
    say "clean-room $suite: no cgroup v2 is mounted here, systemd cannot boot"
    echo "0 passed, 1 failed, 0 skipped"
    return 1
  }
  trap 'remove_cgroup; clean_up' EXIT
  say "clean-room $suite: booting systemd"
  # systemd wants a terminal as console; what it says goes to a file. Its network is its own.
  timeout -k 10 "$BOOT_SECONDS" sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$cgroup" \
    script -qefc "unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup \
      '$TROTH_ROOT/tools/lib/enter-root' '$root' /sbin/init --log-target=console --show-status=no" \
    "$root/boot.log" </dev/null >/dev/null 2>&1 || true
  if [ ! -s "$root/var/log/prove-units" ]; then
    say "clean-room $suite: systemd did not come up; the end of its console:"
    tail -20 "$root/boot.log" >&2
    echo "0 passed, 1 failed, 0 skipped"
    return 1
  fi
  cat "$root/var/log/prove-units"
  tail -1 "$root/var/log/prove-units" | grep -q '^[1-9][0-9]* passed, 0 failed, ' || code=1
  return "$code"
}
