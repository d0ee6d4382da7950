#include "tests/support/pause_point.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>

namespace test_support {

using common::fail_errno;
using common::UniqueFd;

common::Result<PausePoint> PausePoint::open(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof(address.sun_path))
    return common::fail(common::ErrorCode::TooLarge, "{} is too long for a socket", path.string());
  path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd.get(), 8) != 0)
    return fail_errno(errno, "listen on {}", path.string());
  return PausePoint(std::move(fd), path);
}

std::string PausePoint::action() const {
  return "pause(" + path_.string() + ")";
}

common::Result<std::string> PausePoint::wait_reached(std::chrono::nanoseconds timeout) {
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  pollfd wanted{listener_.get(), POLLIN, 0};
  if (::poll(&wanted, 1, static_cast<int>(wait)) <= 0)
    return common::fail(common::ErrorCode::DeadlineExceeded, "nobody reached the failpoint");
  connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // The name comes in one piece: it is one send of less than a page on a local socket.
  wanted.fd = connection_.get();
  std::array<char, 512> name{};
  if (::poll(&wanted, 1, static_cast<int>(wait)) <= 0)
    return common::fail(common::ErrorCode::DeadlineExceeded, "the failpoint does not say its name");
  const ssize_t n = ::read(connection_.get(), name.data(), name.size());
  if (n <= 0)
    return fail_errno(errno, "read the failpoint's name");
  return std::string(name.data(), static_cast<std::size_t>(n) - 1);
}

}  // namespace test_support
