# Sourced after common.sh. `ensure_packages build test` installs what is missing of these sets and
# asks nothing; with everything in place it costs one dpkg query.
# shellcheck shell=bash

# The distribution this machine runs or descends from: "debian 12", "ubuntu 24.04".
distribution() {
  (
    . /etc/os-release
    case "$ID" in
      debian | ubuntu) echo "$ID ${VERSION_ID:-unstable}" ;;
      *)
        case " ${ID_LIKE:-} " in
          *" ubuntu "*) echo "ubuntu 24.04" ;;
          *" debian "*) echo "debian 13" ;;
          *) echo "$ID ${VERSION_ID:-}" ;;
        esac
        ;;
    esac
  )
}

# Prints the packages of one set, one a line.
packages_of() {
  local distro
  distro=$(distribution)
  case "$1" in
    build)
      # Compiler and build system; the libraries (doctest's header too: a build directory is configured
      # with its tests, whatever is then built of it); what fills subprojects/; what runs a cell.
      printf '%s\n' build-essential meson ninja-build pkg-config python3 lld ccache git ca-certificates dpkg-dev \
        libssl-dev libsqlite3-dev libzstd-dev libsystemd-dev \
        libfmt-dev libspdlog-dev libtomlplusplus-dev libcli11-dev libexpected-dev nlohmann-json3-dev \
        doctest-dev fuse3 openssl
      # Where the distribution's libfuse is new enough (3.17.2), else it is a subproject.
      case "$distro" in
        "debian 12" | "ubuntu 24.04" | "ubuntu 24.10" | "ubuntu 25.04") ;;
        *) echo libfuse3-dev ;;
      esac
      ;;
    test)
      # clang checks thread safety; the rest is what tests call.
      printf '%s\n' clang gdb curl iproute2 procps systemd man-db
      ;;
    all) printf '%s\n' clang-tidy ;;
    clean-room) printf '%s\n' debootstrap util-linux git ;;
    *) die "no package set '$1'" ;;
  esac
}

# Of the packages named, those that are not installed.
missing_packages() {
  local installed name
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p') || true
  for name in "$@"; do
    grep -qxF -- "$name" <<<"$installed" || echo "$name"
  done
}

ensure_packages() {
  local wanted=() missing=() set
  command -v apt-get >/dev/null || die "only Debian 12, 13 and Ubuntu 24.04 or newer are supported (no apt-get here)"
  case "$(distribution)" in
    "debian "* | "ubuntu "*) ;;
    *) say "warning: $(distribution) is not a distribution this was tried on" ;;
  esac
  for set in "$@"; do
    mapfile -t -O "${#wanted[@]}" wanted < <(packages_of "$set")
  done
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [ "${#missing[@]}" -eq 0 ] && return 0
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -q -y -o DPkg::Lock::Timeout=300
    -o Acquire::Retries=3 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
  as_root "${apt[@]}" update >&2 || say "warning: apt-get update had trouble; trying with what it knows"
  as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2 ||
    die "apt-get could not install: ${missing[*]}"
}
