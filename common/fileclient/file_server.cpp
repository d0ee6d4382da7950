#include "common/fileclient/file_server.hpp"

#include "common/rpc/socket.hpp"

namespace common::fileclient {
namespace {

bool cancelled(const CallOptions& options) {
  return options.cancellation != nullptr && options.cancellation->cancelled();
}

// False: cancelled meanwhile.
bool pause(Duration duration, const CallOptions& options) {
  const int fd = options.cancellation == nullptr ? -1 : options.cancellation->fd();
  return rpc::wait_for(-1, 0, rpc::now() + duration, fd) != rpc::Ready::Cancelled;
}

// Whether an earlier attempt may still have been executed. An answer settles that, for the server
// looks at its records first; one by which it has not looked at all does not.
bool leaves_unknown(const rpc::CallResult& result, bool before) {
  const ErrorCode code = result.answer.error().code;
  if (result.outcome == rpc::Outcome::Unknown || code == ErrorCode::OutcomeUnknown)
    return true;
  const bool not_looked = result.outcome == rpc::Outcome::NotSent ||
                          code == ErrorCode::Unavailable || code == ErrorCode::Overloaded ||
                          code == ErrorCode::DeadlineExceeded || is_ticket_refusal(result);
  return before && not_looked;
}

Error nobody_knows(const Error& last) {
  return {ErrorCode::OutcomeUnknown,
          last.message + "; nobody knows whether it was done: look before you do it again"};
}

}  // namespace

Instant CallOptions::until() const {
  return deadline ? *deadline : rpc::now() + kPatience;
}

Result<rpc::Answer> FileServer::call(const Outgoing& outgoing, const CallOptions& options) {
  rpc::Request request;
  request.service = "file";
  request.operation = outgoing.operation;
  request.head.id = outgoing.id;
  request.args = outgoing.args;
  request.bytes = outgoing.bytes;
  request.deadline = options.until();
  request.cancellation = options.cancellation;

  budget_.count_call();
  bool unknown = false;
  Attempt attempt;
  for (;; ++attempt.number) {
    rpc::CallResult result = pool_.call(request, outgoing.lane);
    if (result.answer)
      return std::move(result.answer);
    unknown = leaves_unknown(result, unknown);
    const auto wait = pause_before_repeat(result, attempt);
    attempt.by_ticket = attempt.by_ticket || is_ticket_refusal(result);
    const bool again = wait && !cancelled(options) && rpc::now() + *wait < request.deadline &&
                       budget_.take() && pause(*wait, options);
    if (again)
      continue;
    const bool changes = outgoing.id != OperationId{};
    if (unknown && changes)
      return tl::unexpected(nobody_knows(result.answer.error()));
    if (cancelled(options))
      return fail(ErrorCode::Cancelled, "interrupted");
    return std::move(result.answer);
  }
}

}  // namespace common::fileclient
