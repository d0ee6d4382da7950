#include "common/fileclient/repeat_call.hpp"

#include "common/rpc/jitter.hpp"
#include "common/rpc/socket.hpp"

namespace common::fileclient {
namespace {

// Before another attempt in another session.
constexpr std::chrono::milliseconds kSessionPause{20};

bool cancelled(const rpc::Request& request) {
  return request.cancellation != nullptr && request.cancellation->cancelled();
}

// False: cancelled meanwhile.
bool pause(Duration duration, const rpc::Request& request) {
  const int fd = request.cancellation == nullptr ? -1 : request.cancellation->fd();
  return rpc::wait_for(-1, 0, rpc::now() + duration, fd) != rpc::Ready::Cancelled;
}

// Whether an earlier attempt may still have been executed. An answer settles that, for the server
// looks at its records first; one by which it has not looked at all does not.
bool leaves_unknown(const AttemptEnd& end, bool before) {
  const ErrorCode code = end.result.answer.error().code;
  if (end.result.outcome == rpc::Outcome::Unknown || code == ErrorCode::OutcomeUnknown)
    return true;
  const bool not_looked = end.session_over || end.result.outcome == rpc::Outcome::NotSent ||
                          code == ErrorCode::Unavailable || code == ErrorCode::Overloaded ||
                          code == ErrorCode::DeadlineExceeded || is_ticket_refusal(end.result);
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

Result<rpc::Answer> call_repeatedly(rpc::Request& request, rpc::RetryBudget& budget,
                                    const std::function<AttemptEnd(rpc::Request&)>& attempt) {
  budget.count_call();
  bool unknown = false;
  Attempt made;
  for (;; ++made.number) {
    AttemptEnd end = attempt(request);
    if (end.result.answer)
      return std::move(end.result.answer);
    unknown = leaves_unknown(end, unknown);
    const auto wait = end.session_over ? std::optional<Duration>(rpc::jittered(kSessionPause))
                                       : pause_before_repeat(end.result, made);
    made.by_ticket = made.by_ticket || is_ticket_refusal(end.result);
    const bool again = wait && !cancelled(request) && rpc::now() + *wait < request.deadline &&
                       (end.session_over || budget.take()) && pause(*wait, request);
    if (again)
      continue;
    const bool changes = request.head.id != OperationId{};
    if (unknown && changes)
      return tl::unexpected(nobody_knows(end.result.answer.error()));
    if (cancelled(request))
      return fail(ErrorCode::Cancelled, "interrupted");
    return std::move(end.result.answer);
  }
}

}  // namespace common::fileclient
