#include "tests/support/notify_socket.hpp"

#include <fmt/ranges.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace test_support {
namespace {

bool has_line(std::string_view message, std::string_view line) {
  while (!message.empty()) {
    const auto end = message.find('\n');
    if (message.substr(0, end) == line)
      return true;
    message = end == std::string_view::npos ? std::string_view{} : message.substr(end + 1);
  }
  return false;
}

}  // namespace

common::Result<NotifySocket> NotifySocket::open(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof(address.sun_path))
    return common::fail(common::ErrorCode::TooLarge, "{} is too long for a socket", path.string());
  path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
  common::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return common::fail_errno(errno, "bind {}", path.string());
  return NotifySocket(std::move(fd), path);
}

common::Result<std::string> NotifySocket::wait_for(std::string_view line,
                                                   std::chrono::nanoseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd wanted{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0)
      return common::fail(common::ErrorCode::DeadlineExceeded, "no '{}' came, only: {}", line,
                          fmt::join(messages_, " | "));
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0)
      return common::fail_errno(errno, "receive a notification");
    messages_.emplace_back(buffer.data(), static_cast<std::size_t>(n));
    if (has_line(messages_.back(), line))
      return messages_.back();
  }
}

std::optional<std::string> status_field(std::string_view message, std::string_view name) {
  const std::string wanted = std::string(name) + "=";
  for (auto at = message.find(wanted); at != std::string_view::npos;
       at = message.find(wanted, at + 1)) {
    if (at != 0 && message[at - 1] != ' ' && message[at - 1] != '=')
      continue;
    const auto begin = at + wanted.size();
    const auto end = message.find_first_of(" \n", begin);
    return std::string(message.substr(begin, end == std::string_view::npos ? end : end - begin));
  }
  return std::nullopt;
}

}  // namespace test_support
