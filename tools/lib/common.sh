# Sourced by the scripts in tools/. Sets TROTH_ROOT; offers say, die, as_root.
# shellcheck shell=bash

set -euo pipefail
TROTH_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
export TROTH_ROOT LC_ALL=C.UTF-8

# Progress goes to stderr: the last line of stdout belongs to the program that is run.
say() { printf '%s\n' "$*" >&2; }

die() {
  say "${0##*/}: $*"
  exit 1
}

# Runs a command as root: directly, or by sudo without ever asking.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@" || die "needs root for '$*', and sudo wants a password: run 'sudo -v' first"
  else
    die "needs root for '$*', and sudo is not installed"
  fi
}
