#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/status_report.hpp"
#include "common/io/unique_fd.hpp"
#include "common/wire/mount_status.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::Instant;
using common::Result;
using common::Status;
using common::UniqueFd;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Waits until `fd` is ready for `events`.
Status wait(int fd, short events, Instant deadline) {
  for (;;) {
    const auto left = deadline - common::SystemClock().now();
    if (left <= common::Duration::zero())
      return common::fail(ErrorCode::DeadlineExceeded, "it does not answer; it may be stopped");
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(ms, 60'000)));
    if (ready > 0)
      return {};
    if (ready < 0 && errno != EINTR)
      return common::fail_errno(errno, "wait for its answer");
  }
}

Result<UniqueFd> dial(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return common::fail(ErrorCode::TooLarge, "the socket's path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid())
    return common::fail_errno(errno, "make a socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED)
      return common::fail(ErrorCode::Unavailable,
                          "its process is gone; the socket was left behind");
    if (errno == EAGAIN)
      return common::fail(ErrorCode::Overloaded, "it does not answer; it may be stopped");
    return common::fail_errno(errno, "connect");
  }
  return fd;
}

// All that the other side says until it closes.
Result<std::string> read_line(const UniqueFd& fd, Instant deadline) {
  std::string line;
  char buffer[4096];
  for (;;) {
    TROTH_TRY_VOID(wait(fd.get(), POLLIN, deadline));
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (n < 0)
      return common::fail_errno(errno, "read its answer");
    if (n == 0 || line.find('\n') != line.npos)
      return line;
    line.append(buffer, static_cast<std::size_t>(n));
    if (line.size() > common::wire::kMaxMountStatus)
      return common::fail(ErrorCode::TooLarge, "its answer is too long");
  }
}

Result<common::wire::MountStatus> ask(const std::string& path, Instant deadline) {
  TROTH_TRY(const UniqueFd fd, dial(path));
  TROTH_TRY(const std::string line, read_line(fd, deadline));
  return common::wire::decode_mount_status(line);
}

}  // namespace

std::string mount_directory() {
  if (const std::string set = variable("TROTH_RUNTIME_DIR"); !set.empty())
    return set;
  if (::geteuid() == 0)
    return "/run/troth/mounts";
  const std::string base = variable("XDG_RUNTIME_DIR");
  return base.empty() ? "" : base + "/troth/mounts";
}

std::vector<PartStatus> ask_mounts(const std::string& directory, std::chrono::milliseconds within) {
  std::vector<std::string> paths;
  std::error_code ended;
  for (std::filesystem::directory_iterator it(directory, ended), end; !ended && it != end;
       it.increment(ended)) {
    std::error_code ignored;
    if (it->is_socket(ignored) && paths.size() < kMaxMounts)
      paths.push_back(it->path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<PartStatus> parts;
  for (const std::string& path : paths) {
    PartStatus part{.kind = "mount", .name = path, .where = path};
    const auto answer = ask(path, common::SystemClock().now() + within);
    if (answer) {
      part.up = true;
      part.ready = answer->ready;
      part.name = answer->mount_point;
      part.message = answer->message;
      part.version = answer->version;
      part.uptime_s = answer->uptime_s;
    } else {
      part.message = answer.error().message;
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace cli
