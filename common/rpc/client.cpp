#include "common/rpc/client.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/bytes.hpp"
#include "common/crypto/certificates.hpp"
#include "common/rpc/reply_head.hpp"

namespace common::rpc {
namespace {

// Raw bytes handed to a sink and drawn from a source at a time.
constexpr std::size_t kBatch = 256 * 1024;
constexpr std::size_t kRecord = 16 * 1024;
// Raw bytes up to this size leave together with the head.
constexpr std::size_t kSentWithHead = 8 * 1024;
// An HTTP head of ours, which names a server and an operation; only so that the buffer does not
// have to grow, which would leave a copy behind.
constexpr std::size_t kMostOfHead = 1024;
// How long to look for the reason after the server stopped taking our bytes.
constexpr std::chrono::milliseconds kLookForReason{1'000};

// Whether the server's certificate, which is the authority's, names who the caller asked for.
Status check_identity(const tls::Connection& session, const ClientOptions& options) {
  if (options.cell_id.empty() && options.role.empty())
    return {};
  const auto certificate = session.peer_certificate();
  if (certificate) {
    for (const std::string& uri : certificate->uris) {
      const auto identity = crypto::identity_from_uri(uri);
      if (!identity)
        continue;
      if ((options.cell_id.empty() || identity->cell_id == options.cell_id) &&
          (options.role.empty() || identity->role == options.role))
        return {};
      return fail(ErrorCode::Unauthenticated,
                  "the certificate of {} is for a {} of cell {}, not for a {} of cell {}",
                  options.server_name, identity->role, identity->cell_id,
                  options.role.empty() ? "server" : options.role, options.cell_id);
    }
  }
  return fail(ErrorCode::Unauthenticated, "the certificate of {} names no server of a cell",
              options.server_name);
}

bool is_refusal_by_tls(const Error& error) {
  return error.code == ErrorCode::Unauthenticated || error.code == ErrorCode::Expired;
}

}  // namespace

struct Client::Exchange {
  const Request& request;
  Instant deadline;
  bool sent_any = false;     // at least one byte of the request may have left
  bool heard_any = false;    // at least one byte of the reply has come
  bool early_reply = false;  // the server answered before it had everything
  bool cut_off = false;      // the server takes no more of the request
  bool answered = false;     // the reply's head is known: the server has decided
  Error sink_error{};
  HttpReplyHead head;
  Answer answer;
};

Client::Client(ClientOptions options) : options_(std::move(options)) {
  if (options_.server_name.empty())
    options_.server_name = options_.host;
}

Client::~Client() {
  disconnect();
}

void Client::disconnect() {
  if (tls_)
    tls_->close_notify();
  tls_.reset();
  socket_.reset();
  in_.clear();
  proven_ = false;
}

bool Client::still_open() const {
  if (!tls_)
    return false;
  // Nothing is due from an idle server but its goodbye.
  pollfd poll_fd{socket_.get(), POLLIN | POLLRDHUP, 0};
  return ::poll(&poll_fd, 1, 0) == 0;
}

Result<std::array<std::byte, 32>> Client::channel_binding() const {
  if (!tls_)
    return fail(ErrorCode::Unavailable, "not connected");
  return tls_->export_key(kChannelLabel);
}

Status Client::connect(Instant deadline, const Cancellation* cancellation) {
  disconnect();
  const Instant limit = std::min(deadline, now() + options_.connect_limit);
  const int cancel_fd = cancellation == nullptr ? -1 : cancellation->fd();
  TROTH_TRY(socket_, dial(options_.host, options_.port, limit, cancel_fd));
  TROTH_TRY(auto session,
            tls::Connection::connect(options_.tls->current(), socket_.get(), options_.server_name));
  for (;;) {
    TROTH_TRY(const auto step, session.handshake());
    if (step.finished())
      break;
    if (step.closed) {
      return fail(ErrorCode::Unavailable, "{} ended the connection in the TLS handshake",
                  options_.server_name);
    }
    switch (wait_for(socket_.get(), step.want_write ? POLLOUT : POLLIN, limit, cancel_fd)) {
      case Ready::Timeout:
        return fail(ErrorCode::Unavailable, "{} did not finish the TLS handshake in time",
                    options_.server_name);
      case Ready::Cancelled:
        return fail(ErrorCode::Cancelled, "the call was cancelled");
      case Ready::Yes:
        break;
    }
  }
  TROTH_TRY_VOID(check_identity(session, options_));
  tls_.emplace(std::move(session));
  if (!options_.authenticate)
    return {};
  return authenticate(deadline, cancellation);
}

Result<std::string> Client::peer_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_posix(errno, "asking who is at the other end");
  return origin_of(&address).address;
}

Status Client::prove_with(Authenticate proof, Instant deadline) {
  options_.authenticate = std::move(proof);
  return tls_ ? authenticate(deadline, nullptr) : connect(deadline);
}

Status Client::authenticate(Instant deadline, const Cancellation* cancellation) {
  struct Within {
    bool& flag;
    explicit Within(bool& running) : flag(running) { flag = true; }
    ~Within() { flag = false; }
  } within(authenticating_);
  auto again = options_.authenticate(*this, deadline, cancellation);
  if (again && !tls_)
    again = fail(ErrorCode::Unavailable, "{} ended the connection", options_.server_name);
  if (!again) {
    disconnect();
    // Whatever became of the proof: the call that needs it was not sent.
    if (again.error().code == ErrorCode::OutcomeUnknown)
      again.error().code = ErrorCode::Unavailable;
    return tl::unexpected(std::move(again).error());
  }
  prove_again_ = *again;
  return {};
}

Status Client::wait(Exchange& exchange, short events) {
  const Cancellation* cancellation = exchange.request.cancellation;
  const int cancel_fd = cancellation == nullptr ? -1 : cancellation->fd();
  switch (wait_for(socket_.get(), events, exchange.deadline, cancel_fd)) {
    case Ready::Timeout:
      return fail(ErrorCode::DeadlineExceeded, "{} did not answer in time", options_.server_name);
    case Ready::Cancelled:
      return fail(ErrorCode::Cancelled, "the call was cancelled");
    case Ready::Yes:
      break;
  }
  return {};
}

// The connection takes no more of the request, whatever the reason that TLS gives for it.
Status Client::cut_off(Exchange& exchange, const Result<tls::Progress>& step) const {
  exchange.cut_off = true;
  if (!step)
    return tl::unexpected(step.error());
  return fail(ErrorCode::IoError, "{} hung up", options_.server_name);
}

Status Client::send(Exchange& exchange, std::span<const std::byte> bytes) {
  while (!bytes.empty() && !exchange.early_reply) {
    const auto step = tls_->write(bytes);
    if (!step || step->closed)
      return cut_off(exchange, step);
    if (step->done > 0) {
      exchange.sent_any = true;
      bytes = bytes.subspan(step->done);
      continue;
    }
    // Part of a record may have left even though none is complete.
    exchange.sent_any = true;
    TROTH_TRY_VOID(wait(exchange, POLLIN | (step->want_write ? POLLOUT : 0)));
    const auto heard = tls_->read(in_.room(kRecord));
    if (!heard || heard->closed)
      return cut_off(exchange, heard);
    in_.added(heard->done);
    exchange.early_reply = heard->done > 0;
  }
  return {};
}

Status Client::send_source(Exchange& exchange) {
  const Request& request = exchange.request;
  const auto scratch = std::make_unique_for_overwrite<std::byte[]>(kBatch);
  std::uint64_t left = request.source_size;
  while (left > 0 && !exchange.early_reply) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, kBatch));
    TROTH_TRY(const auto part, request.source(std::span(scratch.get(), wanted)));
    if (part.empty() || part.size() > left) {
      return fail(ErrorCode::Internal, "the bytes to send ended before their announced size");
    }
    TROTH_TRY_VOID(send(exchange, part));
    left -= part.size();
  }
  return {};
}

Status Client::send_request(Exchange& exchange) {
  const Request& request = exchange.request;
  const Duration left = exchange.deadline - now();
  if (left <= Duration::zero()) {
    return fail(ErrorCode::DeadlineExceeded, "the deadline passed while {} was dialled",
                options_.server_name);
  }
  CallHead head = request.head;
  head.deadline = std::chrono::ceil<std::chrono::milliseconds>(left);
  const std::string json = encode_request_head(head, request.args);
  const std::uint64_t raw = request.source ? request.source_size : request.bytes.size();
  const std::uint64_t size = json.size() + (request.has_bytes() ? 4 + raw : 0);
  const std::size_t with_it = request.source ? 0 : request.bytes.size();
  out_.clear();
  out_.reserve(kMostOfHead + json.size() + (with_it <= kSentWithHead ? with_it : 0));
  out_ += "POST /v1/";
  out_ += request.service;
  out_ += '/';
  out_ += request.operation;
  out_ += " HTTP/1.1\r\nHost: ";
  out_ += options_.server_name;
  out_ += "\r\nContent-Type: ";
  out_ += request.has_bytes() ? kBytesType : kJsonType;
  out_ += "\r\nContent-Length: ";
  out_ += std::to_string(size);
  out_ += "\r\n\r\n";
  if (request.has_bytes())
    out_ += encode_frame_length(json.size());
  out_ += json;
  if (request.source) {
    TROTH_TRY_VOID(send(exchange, as_bytes(out_)));
    return send_source(exchange);
  }
  if (request.bytes.size() <= kSentWithHead) {
    out_.append(reinterpret_cast<const char*>(request.bytes.data()), request.bytes.size());
    Status sent = send(exchange, as_bytes(out_));
    wipe_if_small(out_);  // these may be a password
    return sent;
  }
  TROTH_TRY_VOID(send(exchange, as_bytes(out_)));
  return send(exchange, request.bytes);
}

// Waits for more of the reply and takes it in.
Status Client::receive(Exchange& exchange) {
  for (;;) {
    const auto room = in_.room(4096);
    TROTH_TRY(const auto step, tls_->read(room));
    if (step.closed)
      return fail(ErrorCode::IoError, "{} hung up", options_.server_name);
    if (step.done > 0) {
      in_.added(step.done);
      exchange.heard_any = true;
      return {};
    }
    TROTH_TRY_VOID(wait(exchange, step.want_write ? POLLOUT : POLLIN));
  }
}

Status Client::receive_at_least(Exchange& exchange, std::size_t count) {
  while (in_.size() < count)
    TROTH_TRY_VOID(receive(exchange));
  return {};
}

Status Client::receive_head(Exchange& exchange) {
  // The reply cannot be there yet: wait first instead of asking in vain.
  if (in_.size() == 0)
    TROTH_TRY_VOID(wait(exchange, POLLIN));
  for (;;) {
    TROTH_TRY(auto head, parse_reply_head(in_.view()));
    if (head) {
      exchange.head = *head;
      in_.consume(head->size);
      return {};
    }
    TROTH_TRY_VOID(receive(exchange));
  }
}

Status Client::receive_into(Exchange& exchange, std::span<std::byte> into) {
  const std::size_t held = std::min(in_.size(), into.size());
  std::copy_n(in_.bytes().begin(), held, into.begin());
  in_.consume(held);
  into = into.subspan(held);
  while (!into.empty()) {
    TROTH_TRY(const auto step, tls_->read(into));
    if (step.closed)
      return fail(ErrorCode::IoError, "{} hung up", options_.server_name);
    into = into.subspan(step.done);
    if (step.done == 0)
      TROTH_TRY_VOID(wait(exchange, step.want_write ? POLLOUT : POLLIN));
  }
  return {};
}

Status Client::receive_raw(Exchange& exchange) {
  const Request& request = exchange.request;
  std::uint64_t left = exchange.answer.raw_size;
  if (!request.sink) {
    exchange.answer.bytes.resize(static_cast<std::size_t>(left));
    return receive_into(exchange, exchange.answer.bytes);
  }
  const auto batch = std::make_unique_for_overwrite<std::byte[]>(kBatch);
  while (left > 0) {
    const auto part =
        std::span(batch.get(), static_cast<std::size_t>(std::min<std::uint64_t>(left, kBatch)));
    TROTH_TRY_VOID(receive_into(exchange, part));
    if (auto taken = request.sink(part); !taken) {
      exchange.sink_error = taken.error();
      return taken;
    }
    left -= part.size();
  }
  return {};
}

Result<Answer> Client::receive_answer(Exchange& exchange) {
  TROTH_TRY_VOID(receive_head(exchange));
  const HttpReplyHead& head = exchange.head;
  std::uint64_t json_size = head.content_length;
  if (head.is_bytes) {
    if (json_size < 4)
      return fail(ErrorCode::Protocol, "the reply is too short");
    TROTH_TRY_VOID(receive_at_least(exchange, 4));
    const std::uint64_t framed = decode_frame_length(in_.view().substr(0, 4));
    in_.consume(4);
    if (framed > json_size - 4)
      return fail(ErrorCode::Protocol, "the reply's frame is too long");
    exchange.answer.raw_size = json_size - 4 - framed;
    json_size = framed;
  }
  if (json_size > kMaxReplyJsonBytes)
    return fail(ErrorCode::TooLarge, "the reply is too large");
  TROTH_TRY_VOID(receive_at_least(exchange, static_cast<std::size_t>(json_size)));
  nlohmann::json result;
  const auto decoded =
      decode_reply(head.status, in_.view().substr(0, static_cast<std::size_t>(json_size)), result);
  if (!decoded)
    return tl::unexpected(decoded.error());
  exchange.answered = true;
  in_.consume(static_cast<std::size_t>(json_size));
  if (decoded->error)
    return tl::unexpected(*decoded->error);
  exchange.answer.epoch = decoded->epoch;
  exchange.answer.json = std::make_shared<const nlohmann::json>(std::move(result));
  if (exchange.answer.raw_size > exchange.request.max_reply_bytes && !exchange.request.sink) {
    return fail(ErrorCode::TooLarge, "the reply holds {} bytes, more than was asked for",
                exchange.answer.raw_size);
  }
  TROTH_TRY_VOID(receive_raw(exchange));
  return std::move(exchange.answer);
}

// What to tell about a call that ended without an answer.
Error Client::lost(const Exchange& exchange, Error error) const {
  const bool refused_by_tls = !proven_ && !exchange.heard_any && is_refusal_by_tls(error);
  if (exchange.sent_any && !refused_by_tls) {
    return Error{ErrorCode::OutcomeUnknown, "perhaps executed: " + error.message};
  }
  if (error.code == ErrorCode::IoError || error.code == ErrorCode::Protocol) {
    error.code = ErrorCode::Unavailable;
  }
  return error;
}

// Nothing of a request could be sent: an alert that came before the connection broke knows more.
Error Client::why_cut_off(Error error) {
  const auto heard = tls_->read(in_.room(kRecord));
  return !heard && is_refusal_by_tls(heard.error()) ? heard.error() : std::move(error);
}

CallResult Client::call(const Request& request) {
  try {
    return try_call(request);
  } catch (...) {
    disconnect();  // what is left of this call must not be read as the next one's reply
    throw;
  }
}

CallResult Client::try_call(const Request& request) {
  Exchange exchange{.request = request, .deadline = request.deadline};
  const auto not_answered = [&](const Error& error) {
    Error told = lost(exchange, error);
    disconnect();
    const bool unknown = told.code == ErrorCode::OutcomeUnknown;
    return CallResult{unknown ? Outcome::Unknown : Outcome::NotSent,
                      tl::unexpected(std::move(told))};
  };
  if (now() >= exchange.deadline) {
    return {Outcome::NotSent,
            fail(ErrorCode::DeadlineExceeded, "the deadline passed before the call began")};
  }
  if (!tls_) {
    // A proof is bound to its connection: on another one it would only be wrong.
    if (authenticating_)
      return not_answered(Error{ErrorCode::Unavailable, options_.server_name + " hung up"});
    if (auto connected = connect(request.deadline, request.cancellation); !connected) {
      return not_answered(connected.error());
    }
  } else if (options_.authenticate && !authenticating_ && now() >= prove_again_) {
    if (auto proven = authenticate(request.deadline, request.cancellation); !proven)
      return not_answered(proven.error());
  }
  Status sent = send_request(exchange);
  if (!sent) {
    if (!exchange.cut_off)
      return not_answered(sent.error());
    if (!exchange.sent_any)
      return not_answered(why_cut_off(std::move(sent.error())));
    // A server that refuses a large request answers and closes: its reply says why.
    exchange.deadline = std::min(exchange.deadline, now() + kLookForReason);
    exchange.early_reply = true;
  }
  Result<Answer> answer = receive_answer(exchange);
  if (!exchange.answered) {
    const bool knows_more = sent.has_value() || is_refusal_by_tls(answer.error());
    return not_answered(knows_more ? answer.error() : sent.error());
  }
  proven_ = true;
  if (!answer && answer.error().code == ErrorCode::Expired)
    prove_again_ = Instant{};  // the session has ended sooner than we thought
  if (!answer && exchange.answer.json) {
    // The server has done it; it is the bytes of its reply that did not arrive.
    disconnect();
    if (exchange.sink_error.message.empty() && answer.error().code != ErrorCode::TooLarge) {
      return {Outcome::Unknown, tl::unexpected(Error{ErrorCode::OutcomeUnknown,
                                                     "executed, but the reply broke off: " +
                                                         answer.error().message})};
    }
    return {Outcome::Answered, std::move(answer)};
  }
  // Whatever may still come on this connection is no reply to the next call.
  const bool bytes_unread = !answer && exchange.answer.raw_size != 0;
  if (exchange.head.close || exchange.early_reply || bytes_unread || in_.size() != 0 ||
      tls_->has_pending()) {
    disconnect();
  }
  return {Outcome::Answered, std::move(answer)};
}

}  // namespace common::rpc
