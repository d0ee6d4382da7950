#include "common/rpc/server_connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "common/bytes.hpp"

namespace common::rpc {
namespace {

// One record of TLS; asking for more never brings more.
constexpr std::size_t kReadSize = 16 * 1024;
// Less than this is not counted against the bytes that all connections may collect.
constexpr std::size_t kFreeBuffer = 32 * 1024;
// What a refused caller may still send before it is cut off.
constexpr std::size_t kMaxDrain = 1024 * 1024;
// A reply buffer larger than this is not kept for the next reply.
constexpr std::size_t kKeepOutBuffer = 64 * 1024;
// A body up to this size is received even for a session that has ended, because only a request that
// was read to its end leaves the connection open for proving oneself again.
constexpr std::uint64_t kSmallBody = 16 * 1024;
// A session that says that it has no time left, and yet is good, does not make us spin.
constexpr Duration kLeastWait = std::chrono::milliseconds(10);
constexpr const char* kLogInFirst = "log in on this connection first";

}  // namespace

Duration transfer_time(const ServerLimits& limits, std::uint64_t bytes) {
  // In milliseconds, so that no size overflows.
  const std::uint64_t rate = std::max<std::uint64_t>(limits.transfer_bytes_per_second, 1);
  const std::uint64_t seconds = std::min<std::uint64_t>(bytes / rate, 365ULL * 24 * 3600);
  const std::uint64_t rest_ms = bytes % rate * 1000 / rate;
  return limits.transfer_base + std::chrono::seconds(seconds) + std::chrono::milliseconds(rest_ms);
}

ServerConnection::ServerConnection(std::uint64_t id, UniqueFd socket, Origin origin,
                                   ServerShared& shared, std::shared_ptr<AddressShare> share)
    : id_(id),
      socket_(std::move(socket)),
      origin_(std::move(origin)),
      shared_(shared),
      share_(std::move(share)),
      deadline_(now() + shared.limits.handshake) {}

ServerConnection::~ServerConnection() {
  end_parking();
  account(0);
  wipe_if_small(out_);
  if (tls_)
    tls_->close_notify();
}

Result<std::array<std::byte, 32>> ServerConnection::channel_binding() const {
  return tls_->export_key(kChannelLabel);
}

ServerConnection::Step ServerConnection::advance() {
  for (;;) {
    // A call that has just parked is not given up with its connection: its handler is to hear of
    // it.
    if (aborted_.load(std::memory_order_relaxed) && phase_ != Phase::Parked)
      return Step::Close;
    Advance step;
    switch (phase_) {
      case Phase::Handshake:
        step = advance_handshake();
        break;
      case Phase::Idle:
      case Phase::Head:
        step = advance_head();
        break;
      case Phase::Body:
        step = advance_body();
        break;
      case Phase::Executing:
        return Step::Request;
      case Phase::Parked:
        return Step::Parked;
      case Phase::Reply:
        step = advance_reply();
        break;
      case Phase::Drain:
        step = advance_drain();
        break;
    }
    if (step)
      return *step;
  }
}

ServerConnection::Advance ServerConnection::advance_handshake() {
  if (!tls_) {
    // Only now that the peer has said something: silent connections cost no TLS session.
    context_ = shared_.tls->current();
    auto session = tls::Connection::accept(context_, socket_.get());
    if (!session)
      return Step::Close;
    tls_.emplace(*std::move(session));
  }
  const auto step = tls_->handshake();
  if (!step || step->closed) {
    ServerCounters::add(shared_.counters.handshake_failures);
    return Step::Close;
  }
  if (step->want_read)
    return Step::WantRead;
  if (step->want_write)
    return Step::WantWrite;
  ServerCounters::add(shared_.counters.handshakes);
  if (context_->client_certificates() != tls::ClientCertificates::None) {
    certificate_ = tls_->peer_certificate();
  }
  begin_idle();
  return Step::Secured;
}

// Takes in what has arrived; nullopt if that was something.
ServerConnection::Advance ServerConnection::receive() {
  const auto room = in_.room(in_.capacity() == 0 ? kMaxHttpHeadBytes : 1024);
  const auto step = tls_->read(room.first(std::min(room.size(), kReadSize)));
  if (!step || step->closed)
    return Step::Close;
  if (step->want_read)
    return Step::WantRead;
  if (step->want_write)
    return Step::WantWrite;
  in_.added(step->done);
  ServerCounters::add(shared_.counters.bytes_in, step->done);
  return std::nullopt;
}

ServerConnection::Advance ServerConnection::advance_head() {
  if (in_.size() == 0) {
    if (const Advance step = receive())
      return step;
  }
  for (;;) {
    if (phase_ == Phase::Idle) {
      phase_ = Phase::Head;
      deadline_ = now() + shared_.limits.head;
    }
    const HeadVerdict verdict =
        check_head(in_.view(), {shared_.limits.head_bytes, shared_.limits.head_lines});
    if (verdict.kind == HeadVerdict::Kind::Refused) {
      refuse(verdict.status,
             Error{code_of_http_status(verdict.status), std::string(verdict.reason)});
      return std::nullopt;
    }
    if (verdict.kind == HeadVerdict::Kind::Accepted) {
      begin_request(verdict.head);
      return std::nullopt;
    }
    if (const Advance step = receive())
      return step;
  }
}

// Who is not known, or not any more, learns nothing else about an operation.
bool ServerConnection::admit_caller(const RequestHead& head) {
  if (!operation_->needs_session)
    return true;
  if (!session()) {
    refuse(401, Error{ErrorCode::Unauthenticated, kLogInFirst});
    return false;
  }
  admitted_ = session()->check();
  if (admitted_ || head.content_length <= kSmallBody)
    return true;
  refuse(http_status(admitted_.error().code), admitted_.error());
  return false;
}

// Everything that can be judged before the body: a refusal here has cost one head.
bool ServerConnection::admit(const RequestHead& head) {
  operation_ = shared_.operations.find(head.service, head.operation);
  if (operation_ == nullptr) {
    if (shared_.operations.demands_sessions() && !session()) {
      refuse(401, Error{ErrorCode::Unauthenticated, kLogInFirst});
      return false;
    }
    refuse(404, Error{ErrorCode::Unsupported, "no such operation"});
    return false;
  }
  admitted_ = {};
  if (!admit_caller(head))
    return false;
  if (!admitted_)
    return has_request_head(head);  // its only answer is that the session has ended
  if (head.content_length > operation_->body_cap) {
    refuse(413, Error{ErrorCode::TooLarge,
                      fmt::format("this operation takes at most {} bytes", operation_->body_cap)});
    return false;
  }
  if (operation_->needs_node_certificate && (!certificate_ || certificate_->role.empty())) {
    refuse(403, Error{ErrorCode::PermissionDenied,
                      "this operation is for nodes of the cell: show a node certificate"});
    return false;
  }
  return has_request_head(head);
}

bool ServerConnection::has_request_head(const RequestHead& head) {
  if (head.content_length == 0 || (head.is_bytes && head.content_length < 4)) {
    refuse(400, Error{ErrorCode::Protocol, "the body holds no request head"});
    return false;
  }
  return true;
}

// The session as it is now, while something is received that only a good one may send.
Status ServerConnection::check_receiving() const {
  return operation_->needs_session ? session()->check() : Status();
}

void ServerConnection::begin_request(const RequestHead& head) {
  head_ = head;
  if (!admit(head))
    return;
  arrived_ = now();
  framed_ = !head.is_bytes;
  raw_read_ = 0;
  raw_size_ = 0;
  json_at_ = head.size;
  json_size_ = head.is_bytes ? 0 : static_cast<std::size_t>(head.content_length);
  // body_cap bounds content_length, so these additions cannot overflow.
  needed_ = head.size + (head.is_bytes ? 4 : json_size_);
  phase_ = Phase::Body;
  Duration allowed = transfer_time(shared_.limits, head.content_length);
  body_deadline_ = arrived_ + allowed;
  if (operation_->needs_session && head.content_length > kSmallBody)
    allowed = std::min(allowed, session()->left());
  deadline_ = arrived_ + allowed;
}

// Reads the length before the JSON head and decides what must be there before execution.
bool ServerConnection::frame_raw_bytes() {
  framed_ = true;
  json_size_ = decode_frame_length(in_.view().substr(head_.size, 4));
  if (json_size_ > kMaxJsonHeadBytes || json_size_ > head_.content_length - 4) {
    refuse(400, Error{ErrorCode::Protocol, "the request head is longer than it may be"});
    return false;
  }
  json_at_ = head_.size + 4;
  raw_size_ = head_.content_length - 4 - json_size_;
  needed_ =
      json_at_ + json_size_ + (operation_->streamed ? 0 : static_cast<std::size_t>(raw_size_));
  return true;
}

// Takes room for so many bytes from what all may hold and from what our address may.
bool ServerConnection::reserve(std::size_t more) {
  const ServerLimits& limits = shared_.limits;
  if (share_->collected_bytes.fetch_add(more) + more <= limits.collected_bytes_per_address) {
    if (shared_.collected_bytes.fetch_add(more) + more <= limits.collected_bytes)
      return true;
    shared_.collected_bytes.fetch_sub(more);
  }
  share_->collected_bytes.fetch_sub(more);
  return false;
}

// Counts what this connection holds; false: there is no room.
bool ServerConnection::account(std::size_t held) {
  const std::size_t counted = held > kFreeBuffer ? held : 0;
  if (counted > accounted_) {
    if (!reserve(counted - accounted_))
      return false;
  } else {
    shared_.collected_bytes.fetch_sub(accounted_ - counted);
    share_->collected_bytes.fetch_sub(accounted_ - counted);
  }
  accounted_ = counted;
  return true;
}

ServerConnection::Advance ServerConnection::advance_body() {
  for (;;) {
    if (in_.size() >= needed_) {
      if (!framed_) {
        if (!frame_raw_bytes())
          return std::nullopt;
        continue;
      }
      phase_ = Phase::Executing;
      return Step::Request;
    }
    if (const Advance step = receive())
      return step;
    if (head_.content_length > kSmallBody) {
      if (const Status good = check_receiving(); !good) {
        refuse(http_status(good.error().code), good.error());
        return std::nullopt;
      }
    }
    if (!account(in_.capacity())) {
      ServerCounters::add(shared_.counters.overloaded);
      refuse(503, Error{ErrorCode::Overloaded, "too many large requests at once",
                        shared_.limits.retry_after});
      return std::nullopt;
    }
  }
}

std::string_view ServerConnection::json_head() const {
  return in_.view().substr(json_at_, json_size_);
}

std::span<const std::byte> ServerConnection::collected_bytes() const {
  if (operation_->streamed)
    return {};
  return in_.bytes().subspan(json_at_ + json_size_, static_cast<std::size_t>(raw_size_));
}

bool ServerConnection::request_is_read() const {
  return !operation_->streamed || raw_read_ == raw_size_;
}

Result<std::size_t> ServerConnection::read_raw(std::span<std::byte> into) {
  const std::uint64_t left = raw_size_ - raw_read_;
  into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left)));
  if (into.empty())
    return 0;
  std::size_t got = 0;
  // What came together with the head lies behind it.
  const std::size_t held = in_.size() - needed_;
  if (held > 0) {
    got = std::min(held, into.size());
    std::copy_n(in_.bytes().begin() + static_cast<std::ptrdiff_t>(needed_), got, into.begin());
    // Only the front of the buffer can be consumed: the head's own bytes move to the back of it.
    needed_ += got;
    raw_read_ += got;
  }
  while (got < into.size()) {
    TROTH_TRY_VOID(check_receiving());
    const auto step = tls_->read(into.subspan(got));
    if (!step)
      return tl::unexpected(step.error());
    if (step->closed)
      return fail(ErrorCode::IoError, "the caller hung up in mid-body");
    got += step->done;
    raw_read_ += step->done;  // at once: after a failure it must be known what is still to come
    if (step->done > 0) {
      ServerCounters::add(shared_.counters.bytes_in, step->done);
      continue;
    }
    if (got > 0 && got >= into.size() / 2)
      break;
    const short events = step->want_write ? POLLOUT : POLLIN;
    if (wait_for(socket_.get(), events, receive_deadline()) == Ready::Timeout) {
      TROTH_TRY_VOID(check_receiving());
      if (now() < body_deadline_)
        continue;  // the session lasts longer than it seemed
      ServerCounters::add(shared_.counters.cut_body);
      return fail(ErrorCode::DeadlineExceeded, "the body came too slowly");
    }
  }
  return got;
}

Instant ServerConnection::receive_deadline() const {
  if (!operation_->needs_session)
    return body_deadline_;
  const Instant at = now();
  return at + std::min(body_deadline_ - at, std::max(session()->left(), kLeastWait));
}

bool ServerConnection::peer_is_gone() const {
  pollfd poll_fd{socket_.get(), POLLRDHUP, 0};
  return ::poll(&poll_fd, 1, 0) > 0 && poll_fd.revents != 0;
}

Status ServerConnection::write_now(std::span<const std::byte> bytes, Instant deadline) {
  const auto send = [&](std::span<const std::byte> part) -> Status {
    while (!part.empty()) {
      const auto step = tls_->write(part);
      if (!step)
        return tl::unexpected(step.error());
      if (step->closed)
        return fail(ErrorCode::IoError, "the caller hung up");
      part = part.subspan(step->done);
      ServerCounters::add(shared_.counters.bytes_out, step->done);
      if (step->done > 0)
        continue;
      const short events = step->want_read ? POLLIN : POLLOUT;
      if (wait_for(socket_.get(), events, deadline) == Ready::Timeout) {
        ServerCounters::add(shared_.counters.cut_reply);
        return fail(ErrorCode::DeadlineExceeded, "the caller reads too slowly");
      }
    }
    return {};
  };
  TROTH_TRY_VOID(send(as_bytes(out_).subspan(out_at_)));
  wipe_if_small(out_);
  out_at_ = 0;
  return send(bytes);
}

bool ServerConnection::reserve_parking() {
  if (has_parking_)
    return true;
  const ServerLimits& limits = shared_.limits;
  if (share_->parked_places.fetch_add(1) < limits.parked_per_address) {
    if (shared_.parked_places.fetch_add(1) < limits.parked)
      return has_parking_ = true;
    shared_.parked_places.fetch_sub(1);
  }
  share_->parked_places.fetch_sub(1);
  return false;
}

void ServerConnection::park(std::shared_ptr<Parked> state, Instant until) {
  if (parked_ && parked_ != state)
    parked_->end();
  parked_ = std::move(state);
  phase_ = Phase::Parked;
  deadline_ = until;
  release_buffers();
  if (in_.capacity() / 2 <= in_.size())
    return;
  try {
    in_.shrink();
    account(in_.capacity());
  } catch (const std::bad_alloc&) {
    // Then it waits in what it has.
  }
}

// The state's destructor is the operation's code: it must not find the connection in between.
void ServerConnection::end_parking() {
  if (has_parking_) {
    has_parking_ = false;
    shared_.parked_places.fetch_sub(1);
    share_->parked_places.fetch_sub(1);
  }
  if (const auto state = std::exchange(parked_, nullptr))
    state->end();
}

void ServerConnection::finish_request(bool close) {
  answered_ = true;
  end_parking();
  in_.consume(needed_);
  // The beginning of a next request must not hold on to the room that this one needed, which is no
  // longer counted.
  if (in_.capacity() > kFreeBuffer)
    in_.shrink();
  account(0);
  begin_reply(close);
}

void ServerConnection::begin_reply(bool close) {
  close_after_ = close;
  phase_ = Phase::Reply;
  deadline_ = now() + transfer_time(shared_.limits, out_.size());
}

void ServerConnection::refuse(int status, const Error& error) {
  ServerCounters::add(shared_.counters.refusals);
  const std::string body = encode_error(shared_.epoch, error, {});
  out_ = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n{}",
      status, http_reason(status), body.size(), body);
  out_at_ = 0;
  begin_reply(true);
}

ServerConnection::Advance ServerConnection::advance_reply() {
  while (out_at_ < out_.size()) {
    const auto step = tls_->write(as_bytes(out_).subspan(out_at_));
    if (!step || step->closed)
      return Step::Close;
    if (step->want_write)
      return Step::WantWrite;
    if (step->want_read)
      return Step::WantRead;
    out_at_ += step->done;
    ServerCounters::add(shared_.counters.bytes_out, step->done);
  }
  out_at_ = 0;
  wipe_if_small(out_);  // a reply may hold keys
  if (out_.capacity() > kKeepOutBuffer)
    out_ = {};
  if (close_after_) {
    tls_->close_notify();
    ::shutdown(socket_.get(), SHUT_WR);
    phase_ = Phase::Drain;
    deadline_ = now() + shared_.limits.drain;
    return std::nullopt;
  }
  begin_idle();
  // A further request may have been read with this one, in a record that is not decrypted yet: the
  // socket will not tell of it.
  if (in_.size() == 0 && !tls_->has_pending())
    return Step::Replied;
  return std::nullopt;
}

void ServerConnection::begin_idle() {
  phase_ = Phase::Idle;
  idle_since_ = now();
  deadline_ = idle_since_ + shared_.limits.idle;
}

// Closing with bytes unread would reset the connection and destroy the reply on its way.
ServerConnection::Advance ServerConnection::advance_drain() {
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), nullptr, kReadSize, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return Step::WantRead;
    if (got <= 0)
      return Step::Close;
    drained_ += static_cast<std::size_t>(got);
    if (drained_ > kMaxDrain)
      return Step::Close;
  }
}

bool ServerConnection::wait_readable(Duration for_at_most) {
  return wait_for(socket_.get(), POLLIN, now() + for_at_most) == Ready::Yes;
}

void ServerConnection::release_buffers() {
  in_.release_if_empty();
  if (out_.empty())
    out_ = {};
}

void ServerConnection::abort() {
  aborted_.store(true, std::memory_order_relaxed);
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace common::rpc
