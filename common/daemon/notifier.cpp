#include "common/daemon/notifier.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace common::daemon {
namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest != text.data() + text.size())
    return std::nullopt;
  return number;
}

Result<std::string> socket_address(std::string_view name) {
  sockaddr_un address{};
  if ((name.front() != '/' && name.front() != '@') || name.size() < 2 ||
      name.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::InvalidArgument,
                "NOTIFY_SOCKET is \"{}\"; expected an absolute path or @name", name);
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  // An abstract name begins with a zero byte and is not terminated; a path counts its terminator.
  const bool abstract = name.front() == '@';
  if (abstract)
    address.sun_path[0] = '\0';
  const std::size_t length = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
  return std::string(reinterpret_cast<const char*>(&address), length);
}

}  // namespace

Result<Notifier> Notifier::from_environment() {
  return make(variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
}

Result<Notifier> Notifier::make(std::string_view socket, std::string_view watchdog_usec,
                                std::string_view watchdog_pid) {
  Notifier notifier;
  if (socket.empty())
    return notifier;
  TROTH_TRY(notifier.address_, socket_address(socket));
  notifier.socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!notifier.socket_.valid())
    return fail_errno(errno, "cannot make the notification socket");
  const auto pid = parse_number(watchdog_pid);
  const auto usec = parse_number(watchdog_usec);
  const bool for_us =
      watchdog_pid.empty() || (pid && *pid == static_cast<std::uint64_t>(::getpid()));
  if (usec && *usec > 0 && for_us) {
    const std::uint64_t half_ms = std::min<std::uint64_t>(*usec / 2000, 3'600'000);
    notifier.watchdog_interval_ = std::chrono::milliseconds(std::max<std::uint64_t>(half_ms, 1));
  }
  return notifier;
}

void Notifier::send(std::string_view message) {
  if (!socket_.valid())
    return;
  // A lost message is not worth failing for: the manager restarts what it does not hear from.
  static_cast<void>(::sendto(
      socket_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
      reinterpret_cast<const sockaddr*>(address_.data()), static_cast<socklen_t>(address_.size())));
}

void Notifier::ready() {
  send("READY=1");
}

void Notifier::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto usec = static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", usec));
}

void Notifier::stopping() {
  send("STOPPING=1");
}

void Notifier::watchdog() {
  send("WATCHDOG=1");
}

void Notifier::status(std::string_view text) {
  if (text == last_status_)
    return;
  last_status_ = text;
  std::string line = fmt::format("STATUS={}", text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  send(line);
}

}  // namespace common::daemon
