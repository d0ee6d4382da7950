#include "common/stream/link.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace common::stream {
namespace {

// What one stream may have read and acted upon before the others get their turn.
constexpr std::size_t kTurnBytes = 64 * 1024;
// A peer that has our Goodbye closes within a round trip.
constexpr std::chrono::milliseconds kLinger{1'000};

}  // namespace

Link::Link(std::uint64_t id, UniqueFd socket, tls::Connection tls, Phase first, Instant deadline)
    : id_(id),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      deadline_(deadline),
      phase_(first),
      want_write_(first == Phase::Connecting) {}

void Link::on_ready(Instant now, std::span<std::byte> scratch, Effects& effects) {
  hungry_ = false;
  if (phase_ == Phase::Connecting)
    connect_step();
  if (phase_ == Phase::Handshake)
    return handshake_step();  // reading needs a core first
  if (phase_ == Phase::Streaming && core_)
    return read_step(now, scratch, effects);
  if (phase_ == Phase::Lingering)
    linger_step(scratch);
}

void Link::connect_step() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error != 0) {
    failure_ = fail_errno(error, "connect").value();
    phase_ = Phase::Dead;
    return;
  }
  phase_ = Phase::Handshake;
}

void Link::handshake_step() {
  auto progress = tls_.handshake();
  if (!progress || progress->closed) {
    failure_ = progress ? Error{ErrorCode::Unavailable, "the peer ended the TLS handshake"}
                        : std::move(progress.error());
    phase_ = Phase::Dead;
    return;
  }
  want_write_ = progress->want_write;
  if (progress->finished())
    phase_ = Phase::Streaming;
}

void Link::read_step(Instant now, std::span<std::byte> scratch, Effects& effects) {
  for (std::size_t taken = 0; !core_->finished();) {
    auto progress = tls_.read(scratch);
    if (!progress)
      return lost(std::move(progress.error()), effects);
    if (progress->closed) {
      return lost({ErrorCode::Unavailable, "the peer closed the connection"}, effects);
    }
    want_write_ = want_write_ || progress->want_write;
    if (progress->done == 0)
      return;
    core_->on_bytes(scratch.first(progress->done), now, effects);
    taken += progress->done;
    if (taken >= kTurnBytes) {
      hungry_ = true;
      return;
    }
  }
}

void Link::flush(Instant now, Effects& effects) {
  if (phase_ != Phase::Streaming || !core_)
    return;
  want_write_ = false;
  while (!core_->output().empty()) {
    auto progress = tls_.write(core_->output());
    if (!progress)
      return lost(std::move(progress.error()), effects);
    if (progress->closed) {
      return lost({ErrorCode::Unavailable, "the peer closed the connection"}, effects);
    }
    core_->consume_output(progress->done, now);
    want_write_ = progress->want_write;
    if (progress->done == 0)
      break;
  }
  if (core_->finished())
    end(now);
}

void Link::end(Instant now) {
  hungry_ = false;
  if (!core_->said_goodbye()) {
    tls_.close_notify();
    phase_ = Phase::Dead;
    return;
  }
  // Closing now, with input unread, would send a reset that can overtake the Goodbye.
  tls_.close_notify();
  ::shutdown(fd(), SHUT_WR);
  phase_ = Phase::Lingering;
  deadline_ = now + kLinger;
  want_write_ = false;
}

void Link::linger_step(std::span<std::byte> scratch) {
  for (std::size_t taken = 0; taken < kTurnBytes;) {
    const ssize_t n = ::recv(fd(), scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (n > 0) {
      taken += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    phase_ = Phase::Dead;
    return;
  }
}

void Link::lost(Error error, Effects& effects) {
  failure_ = error;
  phase_ = Phase::Dead;
  core_->on_transport_lost(std::move(error), effects);
}

void Link::on_timer(Instant now, Effects& effects) {
  if (phase_ == Phase::Streaming && core_) {
    core_->on_timer(now, effects);
    return;
  }
  if (now < deadline_)
    return;
  failure_ = {ErrorCode::DeadlineExceeded, phase_ == Phase::Connecting
                                               ? "the server did not answer in time"
                                               : "the TLS handshake took too long"};
  phase_ = Phase::Dead;
}

std::uint32_t Link::interest() const {
  if (phase_ == Phase::Connecting)
    return EPOLLOUT;
  return EPOLLIN | (want_write_ ? EPOLLOUT : 0U);
}

Instant Link::next_deadline() const {
  if (phase_ == Phase::Dead)
    return Instant::max();
  return phase_ == Phase::Streaming && core_ ? core_->next_deadline() : deadline_;
}

}  // namespace common::stream
