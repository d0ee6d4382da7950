#include "fuse-client/status_socket.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>

namespace fuse_client {

using common::ErrorCode;
using common::fail;
using common::fail_errno;
using common::UniqueFd;

namespace {

// How often the thread shows that it lives when nobody asks.
constexpr int kTurnMs = 1000;

// How long accepting pauses when it fails.
constexpr int kAcceptPauseMs = 100;

// Askers that may wait to be accepted; each is served in microseconds.
constexpr int kBacklog = 16;

common::Status make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  struct stat info {};
  if (error || ::lstat(path.c_str(), &info) != 0) {
    return fail_errno(error ? error.value() : errno,
                      "cannot make the runtime directory {}; make it, or set TROTH_RUNTIME_DIR",
                      path);
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "the runtime directory {} must be a directory of user {} and closed to others; "
                "close it with: chmod 700 {}",
                path, ::geteuid(), path);
  }
  return {};
}

common::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::TooLarge,
                "{} is too long for a socket's name; set TROTH_RUNTIME_DIR to a shorter path",
                path);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool somebody_listens(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  // EAGAIN: the backlog is full, so somebody is there.
  return ::connect(probe.get(), target, sizeof(address)) == 0 || errno == EAGAIN;
}

// With the lock in hand, a socket that nobody serves is a dead process's.
common::Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0)
    return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorCode::AlreadyExists,
                "{} is in the way of this mount's socket and is no socket; remove it", path);
  }
  if (somebody_listens(address)) {
    return fail(ErrorCode::Busy, "{} is served by another process; stop that mount first", path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "cannot remove the stale socket {}", path);
  }
  return {};
}

}  // namespace

std::string default_runtime_directory() {
  if (::geteuid() == 0)
    return "/run/troth/mounts";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime == nullptr || *runtime != '/')
    return {};
  return std::string(runtime) + "/troth/mounts";
}

std::string socket_name(const std::string& mount_point) {
  // The last part for people, a hash of the whole (FNV-1a) to tell two of them apart.
  constexpr std::size_t kMaxShown = 32;
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : mount_point) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  std::string shown;
  for (const char c : std::filesystem::path(mount_point).filename().string()) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (shown.size() < kMaxShown)
      shown += plain ? c : '_';
  }
  return fmt::format("{}-{:016x}.sock", shown.empty() ? "root" : shown, hash);
}

common::Result<std::unique_ptr<StatusSocket>> StatusSocket::open(Options options) {
  const std::string path = options.directory + "/" + options.name;
  TROTH_TRY(const sockaddr_un address, address_of(path));
  TROTH_TRY_VOID(make_directory(options.directory));
  TROTH_TRY(auto lock, common::io::LockFile::acquire(path + ".lock", "mount socket " + path));
  TROTH_TRY_VOID(remove_stale(path, address));
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener.valid() || !wake.valid())
    return fail_errno(errno, "cannot make {}", path);
  // The umask of every program of ours makes it 0600; the directory is closed besides.
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(listener.get(), target, sizeof(address)) != 0) {
    return fail_errno(errno, "cannot make {}", path);
  }
  if (::chmod(path.c_str(), 0600) != 0 || ::listen(listener.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlink(path.c_str());
    return fail_errno(error, "cannot serve {}", path);
  }
  return std::unique_ptr<StatusSocket>(new StatusSocket(std::move(options), path, std::move(lock),
                                                        std::move(listener), std::move(wake)));
}

StatusSocket::StatusSocket(Options options, std::string path, common::io::LockFile lock,
                           UniqueFd listener, UniqueFd wake)
    : options_(std::move(options)),
      path_(std::move(path)),
      lock_(std::move(lock)),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      thread_([this] { serve(); }) {}

StatusSocket::~StatusSocket() {
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));  // an eventfd at zero takes it
  thread_.join();
  ::unlink(path_.c_str());
}

void StatusSocket::answer(const UniqueFd& asker) const {
  try {
    // A fresh socket's buffer takes the whole line; who does not read it loses it.
    const std::string line = options_.line();
    static_cast<void>(::send(asker.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  } catch (const std::bad_alloc&) {
    // This one goes without an answer; the next may find memory again.
  }
}

void StatusSocket::serve() {
  std::array<pollfd, 2> entries{pollfd{listener_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
  for (;;) {
    if (options_.heartbeat != nullptr)
      options_.heartbeat->beat();
    ::poll(entries.data(), entries.size(), kTurnMs);
    if ((entries[1].revents & POLLIN) != 0)
      return;
    const UniqueFd asker(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!asker.valid()) {
      // Out of descriptors, say: the listener stays readable, and asking again at once would spin.
      const bool nobody = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
      if (!nobody && ::poll(&entries[1], 1, kAcceptPauseMs) > 0)
        return;
      continue;
    }
    answer(asker);
  }
}

}  // namespace fuse_client
