#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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
using common::UniqueFd;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
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
      return common::fail(ErrorCode::Overloaded, "it did not answer in time; it may be stopped");
    return common::fail_errno(errno, "connect");
  }
  return fd;
}

// One mount that is asked. It says one line and closes.
struct Asked {
  PartStatus part;
  UniqueFd fd;  // none: its part is complete
  std::string line;

  explicit Asked(const std::string& path) : part{.kind = "mount", .name = path, .where = path} {
    auto dialed = dial(path);
    if (dialed) {
      fd = *std::move(dialed);
    } else {
      part.message = dialed.error().message;
    }
  }

  void failed(std::string why) {
    part.message = std::move(why);
    fd.reset();
  }

  void ended() {
    auto answer = common::wire::decode_mount_status(line);
    if (!answer)
      return failed(answer.error().message);
    part.up = true;
    part.ready = answer->ready;
    part.name = std::move(answer->mount_point);
    part.message = std::move(answer->message);
    part.version = std::move(answer->version);
    part.uptime_s = answer->uptime_s;
    fd.reset();
  }

  // Takes what is there. Called when something is.
  void read() {
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
      return;
    if (n < 0)
      return failed(fmt::format("cannot read its answer: {}", std::strerror(errno)));
    if (n > 0)
      line.append(buffer.data(), static_cast<std::size_t>(n));
    if (line.size() > common::wire::kMaxMountStatus)
      return failed("its answer is too long");
    if (n == 0 || line.find('\n') != line.npos)
      ended();
  }
};

std::vector<std::string> sockets_in(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code ended;
  for (std::filesystem::directory_iterator it(directory, ended), end; !ended && it != end;
       it.increment(ended)) {
    std::error_code ignored;
    if (it->is_socket(ignored) && paths.size() < kMaxMounts)
      paths.push_back(it->path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Waits until one of them says something; false when nobody is left who could, in time.
bool read_some(std::vector<Asked>& mounts, Instant deadline) {
  std::vector<pollfd> entries;
  std::vector<Asked*> waiting;
  for (Asked& mount : mounts) {
    if (!mount.fd.valid())
      continue;
    entries.push_back({.fd = mount.fd.get(), .events = POLLIN, .revents = 0});
    waiting.push_back(&mount);
  }
  const auto left = deadline - common::SystemClock().now();
  if (entries.empty() || left <= common::Duration::zero())
    return false;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  if (::poll(entries.data(), entries.size(),
             static_cast<int>(std::min<std::int64_t>(ms, 60'000))) <= 0)
    return true;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].revents != 0)
      waiting[i]->read();
  }
  return true;
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

std::vector<PartStatus> ask_mounts(const std::string& directory, Instant deadline) {
  std::vector<Asked> mounts;
  for (const std::string& path : sockets_in(directory))
    mounts.emplace_back(path);
  while (read_some(mounts, deadline)) {
  }
  std::vector<PartStatus> parts;
  for (Asked& mount : mounts) {
    if (mount.fd.valid())
      mount.failed("it did not answer in time; it may be stopped");
    parts.push_back(std::move(mount.part));
  }
  return parts;
}

}  // namespace cli
