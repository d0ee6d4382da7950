#include "common/log/stream_sink.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace common::log {
namespace {

bool wait_writable(int fd, std::chrono::milliseconds wait) {
  pollfd entry{fd, POLLOUT, 0};
  // An interrupted wait counts as the reader being late: signals are rare and waiting is not owed.
  return ::poll(&entry, 1, static_cast<int>(wait.count())) == 1 && (entry.revents & POLLOUT) != 0;
}

}  // namespace

bool StreamSink::write_all(std::string_view bytes, std::chrono::milliseconds wait) {
  // A writable pipe takes at least kMaxLine bytes in one piece, so write() cannot block on it.
  const auto give_up = std::chrono::steady_clock::now() + wait;
  while (!bytes.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        give_up - std::chrono::steady_clock::now());
    if (!wait_writable(fd_, std::max(left, std::chrono::milliseconds{0})))
      return false;
    ssize_t n = -1;
    if (is_socket_) {
      n = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno == ENOTSOCK)
        is_socket_ = false;
    }
    if (!is_socket_)
      n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN) && left.count() > 0)
      continue;
    if (n <= 0)
      return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool StreamSink::write_line(std::string_view line) {
  const auto wait = in_a_row_ == 0 ? kWriteWait : std::chrono::milliseconds{0};
  if (!write_all(line, wait)) {
    ++in_a_row_;
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  in_a_row_ = 0;
  return true;
}

}  // namespace common::log
