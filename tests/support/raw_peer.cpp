#include "tests/support/raw_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <utility>

namespace test_support {

using common::ErrorCode;
using common::Result;
using common::Status;
using common::UniqueFd;
using Steady = std::chrono::steady_clock;

namespace {

Status wait_for(int fd, short events, Steady::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Steady::now());
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    const int n = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (n > 0)
      return {};
    if (n == 0)
      return common::fail(ErrorCode::DeadlineExceeded, "the peer took too long");
    if (errno != EINTR)
      return common::fail_errno(errno, "poll");
  }
}

sockaddr_in loopback(std::uint16_t port, const std::string& host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

}  // namespace

Result<RawPeer> RawPeer::dial(std::uint16_t port, const std::string& from, Milliseconds patience) {
  RawPeer peer;
  peer.socket_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!peer.socket_.valid())
    return common::fail_errno(errno, "socket");
  const int one = 1;
  ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (!from.empty()) {
    ::setsockopt(peer.fd(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    const sockaddr_in source = loopback(0, from);
    if (::bind(peer.fd(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
      return common::fail_errno(errno, "bind to {}", from);
    }
  }
  const sockaddr_in to = loopback(port, "127.0.0.1");
  if (::connect(peer.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS) {
    return common::fail_errno(errno, "connect");
  }
  TROTH_TRY_VOID(wait_for(peer.fd(), POLLOUT, Steady::now() + patience));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(peer.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0)
    return common::fail_errno(error, "connect");
  return peer;
}

Result<RawPeer> RawPeer::dial_tls(std::uint16_t port, common::tls::ContextPtr context,
                                  const std::string& from, Milliseconds patience) {
  TROTH_TRY(auto peer, dial(port, from, patience));
  TROTH_TRY(auto session,
            common::tls::Connection::connect(std::move(context), peer.fd(), "127.0.0.1"));
  peer.tls_.emplace(std::move(session));
  TROTH_TRY_VOID(peer.shake_hands(patience));
  return peer;
}

Result<RawPeer> RawPeer::accept_tls(UniqueFd socket, common::tls::ContextPtr context,
                                    Milliseconds patience) {
  RawPeer peer;
  peer.socket_ = std::move(socket);
  TROTH_TRY(auto session, common::tls::Connection::accept(std::move(context), peer.fd()));
  peer.tls_.emplace(std::move(session));
  TROTH_TRY_VOID(peer.shake_hands(patience));
  return peer;
}

Status RawPeer::shake_hands(Milliseconds patience) {
  const auto until = Steady::now() + patience;
  for (;;) {
    TROTH_TRY(const auto progress, tls_->handshake());
    if (progress.finished())
      return {};
    if (progress.closed)
      return common::fail(ErrorCode::Unavailable, "closed in the handshake");
    TROTH_TRY_VOID(wait_for(fd(), progress.want_write ? POLLOUT : POLLIN, until));
  }
}

Status RawPeer::send(std::string_view data, Milliseconds patience) {
  return send(std::as_bytes(std::span(data.data(), data.size())), patience);
}

Status RawPeer::send(std::span<const std::byte> data, Milliseconds patience) {
  const auto until = Steady::now() + patience;
  while (!data.empty()) {
    std::size_t done = 0;
    bool want_read = false;
    if (tls_) {
      TROTH_TRY(const auto progress, tls_->write(data));
      if (progress.closed)
        return common::fail(ErrorCode::Unavailable, "the peer has closed");
      done = progress.done;
      want_read = progress.want_read;
    } else {
      const ssize_t n = ::send(fd(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        return common::fail_errno(errno, "send");
      done = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
    }
    data = data.subspan(done);
    if (done == 0)
      TROTH_TRY_VOID(wait_for(fd(), want_read ? POLLIN : POLLOUT, until));
  }
  return {};
}

// Fills held_ until it has `at_least` bytes or the peer has closed; hands out what was asked.
Result<std::string> RawPeer::take(Milliseconds patience, std::size_t at_least, bool to_end) {
  const auto until = Steady::now() + patience;
  std::array<std::byte, 16 * 1024> buffer;
  while (to_end || held_.size() < at_least) {
    std::size_t done = 0;
    bool closed = false;
    if (tls_) {
      const auto progress = tls_->read(buffer);
      closed = !progress || progress->closed;  // a reset is an end like any other here
      done = progress ? progress->done : 0;
    } else {
      const ssize_t n = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
      done = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
    }
    if (closed)
      break;
    held_.append(reinterpret_cast<const char*>(buffer.data()), done);
    if (done == 0)
      TROTH_TRY_VOID(wait_for(fd(), POLLIN, until));
  }
  const std::size_t n = to_end ? held_.size() : std::min(held_.size(), at_least);
  std::string out = held_.substr(0, n);
  held_.erase(0, n);
  return out;
}

Result<std::string> RawPeer::read_some(Milliseconds patience) {
  if (held_.empty()) {
    TROTH_TRY(auto first, take(patience, 1, false));
    held_ = first + held_;
  }
  return std::exchange(held_, {});
}

Result<std::string> RawPeer::read_to_end(Milliseconds patience) {
  return take(patience, 0, true);
}

Result<std::string> RawPeer::read_bytes(std::size_t count, Milliseconds patience) {
  return take(patience, count, false);
}

Result<std::string> RawPeer::read_reply(Milliseconds patience) {
  std::string reply;
  while (reply.size() < 4 || reply.substr(reply.size() - 4) != "\r\n\r\n") {
    TROTH_TRY(auto one, take(patience, 1, false));
    if (one.empty())
      return reply;
    reply += one;
  }
  std::string lower = reply;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto at = lower.find("content-length:");
  const std::size_t length =
      at == std::string::npos ? 0 : std::strtoul(lower.c_str() + at + 15, nullptr, 10);
  TROTH_TRY(const auto body, take(patience, length, false));
  return reply + body;
}

Status RawPeer::send_below_tls(std::string_view data) {
  if (::send(fd(), data.data(), data.size(), MSG_NOSIGNAL) < 0) {
    return common::fail_errno(errno, "send");
  }
  return {};
}

void RawPeer::reset() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  tls_.reset();
  socket_.reset();
}

}  // namespace test_support
