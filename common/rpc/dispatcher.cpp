#include "common/rpc/dispatcher.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <typeinfo>

#include <nlohmann/json.hpp>

#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/log/log.hpp"
#include "common/wire/hex.hpp"

namespace common::rpc {
namespace {

// Bytes up to this size go out together with the head; larger ones are not copied.
constexpr std::size_t kInlineBytes = 64 * 1024;
// What a source is asked for at a time: below it, system calls and records begin to show.
constexpr std::size_t kScratch = 256 * 1024;

// What may be logged of an exception. Its words are a library's, which may quote what it was given.
const char* type_of(const std::exception& exception) {
  return typeid(exception).name();
}

constexpr std::string_view kInternalError =
    "internal error; the server's log has it under this trace";

// What this server failed at, and no caller has done.
bool is_own_failure(ErrorCode code) {
  return code == ErrorCode::Corrupt || code == ErrorCode::IoError || code == ErrorCode::NoSpace ||
         code == ErrorCode::Internal || code == ErrorCode::OutcomeUnknown;
}

std::string new_trace() {
  const auto id = crypto::new_operation_id();
  return id ? wire::to_hex(*id) : std::string("none");
}

// One request while it is answered: the call as the handler sees it, the exchange as the HTTP
// engine sees it.
class Exchange final : public Call, public HttpExchange {
 public:
  Exchange(ServerConnection& connection, ServerShared& shared, Dispatcher& dispatcher)
      : connection_(connection), shared_(shared), dispatcher_(dispatcher) {}
  ~Exchange() override { wipe_if_small(reply_.bytes.data(), reply_.bytes.size()); }

  [[nodiscard]] const CallHead& head() const override { return head_; }
  [[nodiscard]] const nlohmann::json& args() const override { return args_; }
  [[nodiscard]] Instant deadline() const override { return deadline_; }
  [[nodiscard]] Peer& peer() override { return connection_; }
  [[nodiscard]] std::uint64_t body_size() const override { return connection_.raw_size(); }
  [[nodiscard]] std::span<const std::byte> body() const override {
    return connection_.collected_bytes();
  }
  [[nodiscard]] Result<std::size_t> read_body(std::span<std::byte> into) override {
    return connection_.read_raw(into);
  }
  [[nodiscard]] bool cancelled() const override {
    return shared_.stopping.load(std::memory_order_relaxed) || connection_.hung_up() ||
           connection_.peer_is_gone();
  }
  [[nodiscard]] Result<Reply> park(std::shared_ptr<Parked> state, Instant until) override;
  [[nodiscard]] std::shared_ptr<Parked> parked() const override { return connection_.parked(); }

  int run(std::string_view service, std::string_view operation) override;
  std::string_view answer_headers() override { return headers_; }

  // What the handler has parked with, if it has: then there is no answer.
  [[nodiscard]] bool parks() const { return parks_; }
  void leave() { connection_.park(std::move(parking_), parked_until_); }
  // After the engine has written the head: appends or sends the body. False: cut the connection.
  [[nodiscard]] bool deliver();
  [[nodiscard]] bool closes() const { return closes_; }
  [[nodiscard]] bool began() const { return began_; }

 private:
  Result<Reply> decode_and_run();
  Result<Reply> run_again();
  [[nodiscard]] Result<Reply> if_still_known(Result<Reply> reply) const;
  [[nodiscard]] std::uint64_t raw_reply_size() const {
    return reply_.source ? reply_.source_size : reply_.bytes.size();
  }
  [[nodiscard]] Error as_told(Error error);
  void encode_headers();
  [[nodiscard]] Result<std::span<const std::byte>> draw(std::span<std::byte> scratch);
  [[nodiscard]] bool deliver_source(Instant deadline);

  ServerConnection& connection_;
  ServerShared& shared_;
  Dispatcher& dispatcher_;

  CallHead head_;
  nlohmann::json args_;
  Instant deadline_{};

  std::optional<Dispatcher::Slot> slot_;  // from admission to delivery
  Reply reply_;
  std::string body_;  // JSON of the reply or of the error
  std::string headers_;
  bool closes_ = false;
  bool began_ = false;  // run() was entered

  std::shared_ptr<Parked> parking_;  // what park() was called with in this run
  Instant parked_until_{};
  bool parks_ = false;  // and the handler returned what park() gave it
};

Result<Reply> Exchange::decode_and_run() {
  TROTH_TRY(head_, decode_request_head(connection_.json_head(), args_));
  TROTH_TRY_VOID(connection_.admitted());
  deadline_ = connection_.arrived() + head_.deadline;
  if (connection_.parked())
    return run_again();
  if (now() >= deadline_) {
    return fail(ErrorCode::DeadlineExceeded, "the deadline passed before the call began");
  }
  if (connection_.operation().needs_operation_id && head_.id == OperationId{}) {
    return fail(ErrorCode::InvalidArgument, "this operation needs an \"id\"");
  }
  if (connection_.operation().needs_session)
    TROTH_TRY_VOID(connection_.session()->check());
  const bool stranger = connection_.operation().open_to_all && connection_.session() == nullptr;
  const Dispatcher::Slot& slot =
      slot_.emplace(dispatcher_, connection_.operation().kind,
                    stranger ? Dispatcher::Caller::Stranger : Dispatcher::Caller::Known);
  return if_still_known(dispatcher_.run(*this, connection_.operation(), slot));
}

// The session may have ended while the call was carried out. What was changed is answered
// truthfully; but what was only read is not for the caller any more.
Result<Reply> Exchange::if_still_known(Result<Reply> reply) const {
  const Operation& operation = connection_.operation();
  if (reply && !reply->parked && operation.needs_session && !operation.needs_operation_id)
    TROTH_TRY_VOID(connection_.session()->check());
  return reply;
}

// It was admitted before it parked and has had its turn to run; what it began must come to its end,
// even after its deadline. But nothing is done for a session that has ended meanwhile.
Result<Reply> Exchange::run_again() {
  if (connection_.operation().needs_session)
    TROTH_TRY_VOID(connection_.session()->check());
  return if_still_known(dispatcher_.run_admitted(*this, connection_.operation()));
}

Result<Reply> Exchange::park(std::shared_ptr<Parked> state, Instant until) {
  if (!state || !connection_.request_is_read())
    return fail(ErrorCode::Internal, "a call cannot wait without a state, or before its body");
  if (shared_.stopping.load(std::memory_order_relaxed) || connection_.hung_up())
    return fail(ErrorCode::Cancelled, "nobody waits for this call any more");
  if (now() >= deadline_)
    return fail(ErrorCode::DeadlineExceeded, "the deadline passed while the call waited");
  if (!state->bind(shared_.woken, connection_.id(), connection_.operation().kind))
    return fail(ErrorCode::Internal, "a call cannot wait with another call's state");
  if (!connection_.reserve_parking()) {
    ServerCounters::add(shared_.counters.overloaded);
    return tl::unexpected(Error{ErrorCode::Overloaded, "too many calls wait, try again later",
                                shared_.limits.retry_after});
  }
  parking_ = std::move(state);
  parked_until_ = std::min(until, deadline_);
  Reply reply;
  reply.parked = true;
  return reply;
}

int Exchange::run(std::string_view service, std::string_view operation) {
  began_ = true;
  int status = 200;
  Result<Reply> result;
  if (service != connection_.operation().service || operation != connection_.operation().name) {
    result = fail(ErrorCode::Protocol, "the request line is read in two ways");
    closes_ = true;
  } else {
    result = decode_and_run();
  }
  if (result && result->parked) {
    parks_ = parking_ != nullptr;
    if (parks_) {
      headers_ = "\r\n";  // thrown away
      return 200;
    }
    result = fail(ErrorCode::Internal, "a handler said that its call waits, and it does not");
  }
  if (result) {
    reply_ = *std::move(result);
    body_ = encode_result(shared_.epoch, reply_.result);
  } else {
    ServerCounters::add(shared_.counters.errors);
    const Error told = as_told(std::move(result).error());
    status = http_status(told.code);
    body_ = encode_error(shared_.epoch, told, head_.trace);
  }
  closes_ = closes_ || connection_.asked_to_close() || !connection_.request_is_read() ||
            shared_.stopping.load(std::memory_order_relaxed);
  encode_headers();
  return status;
}

// What went wrong in here names files and statements: that is for the log, and for who is known.
Error Exchange::as_told(Error error) {
  const bool stranger = connection_.session() == nullptr && !connection_.certificate();
  if (!stranger || !is_own_failure(error.code) || error.message == kInternalError)
    return error;
  if (head_.trace.empty())
    head_.trace = new_trace();
  if (const auto held_back = dispatcher_.failures_before_strangers().admit(now())) {
    log::error("a call of a stranger failed", {{"service", connection_.operation().service},
                                               {"operation", connection_.operation().name},
                                               {"code", to_string(error.code)},
                                               {"why", error.message},
                                               {"trace", head_.trace},
                                               {"from", connection_.address()},
                                               {"others_held_back", *held_back}});
  }
  error.message =
      fmt::format("something is wrong at the server; its log says what, under {}", head_.trace);
  return error;
}

void Exchange::encode_headers() {
  const std::uint64_t raw = raw_reply_size();
  const std::uint64_t size = body_.size() + (reply_.has_bytes() ? 4 + raw : 0);
  headers_ = "Content-Type: ";
  headers_ += reply_.has_bytes() ? kBytesType : kJsonType;
  headers_ += "\r\nContent-Length: ";
  headers_ += std::to_string(size);
  headers_ += closes_ ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n";
}

bool Exchange::deliver() {
  // The connection ends between what was done and its answer.
  if (failpoint::kCompiledIn && !failpoint::hit("rpc.answer.before"))
    return false;
  std::string& out = connection_.out();
  const std::size_t with_it = reply_.source ? 0 : reply_.bytes.size();
  // At once, since growing again would leave copies of the bytes behind.
  out.reserve(out.size() + 4 + body_.size() + (with_it <= kInlineBytes ? with_it : 0));
  if (reply_.has_bytes())
    out += encode_frame_length(body_.size());
  out += body_;
  if (!reply_.has_bytes())
    return true;
  const Instant deadline = rpc::now() + transfer_time(shared_.limits, raw_reply_size());
  if (reply_.source)
    return deliver_source(deadline);
  if (reply_.bytes.size() <= kInlineBytes) {
    out.append(reinterpret_cast<const char*>(reply_.bytes.data()), reply_.bytes.size());
    return true;
  }
  return connection_.write_now(reply_.bytes, deadline).has_value();
}

// A source is an operation's code: what it throws must not end more than this call.
Result<std::span<const std::byte>> Exchange::draw(std::span<std::byte> scratch) {
  try {
    return reply_.source(scratch);
  } catch (const std::bad_alloc&) {
    throw;  // the worker counts it and ends the connection
  } catch (const std::exception& exception) {
    ServerCounters::add(shared_.counters.exceptions);
    return fail(ErrorCode::Internal, "an exception left its source: {}", type_of(exception));
  } catch (...) {
    ServerCounters::add(shared_.counters.exceptions);
    return fail(ErrorCode::Internal, "an exception left its source");
  }
}

bool Exchange::deliver_source(Instant deadline) {
  const auto scratch = std::make_unique_for_overwrite<std::byte[]>(kScratch);
  std::uint64_t left = reply_.source_size;
  while (left > 0) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, kScratch));
    const auto part = draw(std::span(scratch.get(), wanted));
    // The announced size is a promise; the only honest way to break it is to cut the connection.
    if (!part || part->empty() || part->size() > left) {
      log::error("a reply ended before its announced size",
                 {{"operation", connection_.operation().name},
                  {"reason", part ? "wrong size" : part.error().message},
                  {"trace", head_.trace}});
      return false;
    }
    if (!connection_.write_now(*part, deadline))
      return false;
    left -= part->size();
  }
  return true;
}

}  // namespace

Dispatcher::Slot::Slot(Dispatcher& dispatcher, OperationClass kind, Caller caller)
    : count_(dispatcher.shared_.in_flight.of(kind)) {
  if (kind == OperationClass::Metadata && caller == Caller::Stranger) {
    strangers_ = &dispatcher.strangers_;
    // A stranger who is refused takes no room of the others while his answer is sent.
    counted_ = strangers_->fetch_add(1) < std::max<std::size_t>(dispatcher.cap(kind) / 2, 1);
  }
  admitted_ = counted_ && count_.fetch_add(1) < dispatcher.cap(kind);
}

Dispatcher::Slot::~Slot() {
  if (counted_)
    count_.fetch_sub(1);
  if (strangers_ != nullptr)
    strangers_->fetch_sub(1);
}

Dispatcher::Dispatcher(ServerShared& shared) : shared_(shared) {}

Result<Reply> Dispatcher::run(Call& call, const Operation& operation, const Slot& slot) {
  if (!slot.admitted()) {
    ServerCounters::add(shared_.counters.overloaded);
    return tl::unexpected(Error{ErrorCode::Overloaded, "too many calls at once, try again later",
                                shared_.limits.retry_after});
  }
  ServerCounters::add(shared_.counters.calls);
  return run_admitted(call, operation);
}

Result<Reply> Dispatcher::run_admitted(Call& call, const Operation& operation) {
  std::string what;
  try {
    return operation.handler(call);
  } catch (const std::exception& exception) {
    what = type_of(exception);
  } catch (...) {
    what = "unknown";
  }
  ServerCounters::add(shared_.counters.exceptions);
  log::error("an exception left an operation", {{"service", operation.service},
                                                {"operation", operation.name},
                                                {"exception", what},
                                                {"trace", call.head().trace}});
  return fail(ErrorCode::Internal, "{}", kInternalError);
}

void Dispatcher::execute(ServerConnection& connection) {
  Exchange exchange(connection, shared_, *this);
  const std::size_t before = connection.out().size();
  if (!engine_.process(connection.http_head(), connection.address(), exchange, connection.out())) {
    if (exchange.began()) {
      connection.abort();  // something may have been executed: no answer is the honest one
    } else {
      connection.refuse(400, Error{ErrorCode::Protocol, "not a request of this protocol"});
    }
    return;
  }
  if (exchange.parks()) {
    connection.out().resize(before);
    exchange.leave();
    return;
  }
  if (!exchange.deliver()) {
    connection.abort();
    return;
  }
  connection.finish_request(exchange.closes());
}

}  // namespace common::rpc
