#include "common/rpc/retry.hpp"

#include <poll.h>

#include <algorithm>
#include <random>

#include "common/rpc/jitter.hpp"

namespace common::rpc {
namespace {

// Codes by which a server promises that it has executed nothing and may be asked again.
bool promises_nothing_done(ErrorCode code) {
  return code == ErrorCode::Unavailable || code == ErrorCode::Overloaded;
}

bool may_repeat(const CallResult& result, const Request& request, Repeat repeat) {
  const ErrorCode code = result.answer.error().code;
  switch (result.outcome) {
    case Outcome::NotSent:
      return code == ErrorCode::Unavailable;
    case Outcome::Answered:
      // What has been drawn from a source cannot be drawn again.
      return promises_nothing_done(code) && request.source == nullptr;
    case Outcome::Unknown:
      if (request.source != nullptr || request.sink != nullptr)
        return false;
      return repeat == Repeat::ChangesNothing ||
             (repeat == Repeat::ByOperationId && request.head.id != OperationId{});
  }
  return false;
}

// False: cancelled meanwhile.
bool pause(Duration duration, const Request& request) {
  const int cancel_fd = request.cancellation == nullptr ? -1 : request.cancellation->fd();
  return wait_for(-1, 0, now() + duration, cancel_fd) != Ready::Cancelled;
}

}  // namespace

Duration jittered(Duration by) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::duration_cast<Duration>(
      by * std::uniform_real_distribution<double>(0.5, 1.5)(random));
}

void RetryBudget::count_call() {
  auto tokens = tokens_.lock();
  *tokens = std::min(*tokens + share_, reserve_);
}

bool RetryBudget::take() {
  auto tokens = tokens_.lock();
  if (*tokens < 1)
    return false;
  *tokens -= 1;
  return true;
}

std::optional<Duration> pause_before_repeat(const CallResult& result, const Request& request,
                                            Repeat repeat, std::size_t next,
                                            const RetryPolicy& policy) {
  if (result.answer || next > policy.attempts)
    return std::nullopt;
  if (!may_repeat(result, request, repeat))
    return std::nullopt;
  Duration pause = policy.first_pause;
  for (std::size_t i = 2; i < next && pause < policy.longest_pause; ++i)
    pause *= 2;
  pause = std::min<Duration>(pause, policy.longest_pause);
  return std::max<Duration>(jittered(pause), result.answer.error().retry_after);
}

CallResult call_with_retry(const std::function<CallResult(const Request&)>& attempt,
                           const Request& request, Repeat repeat, RetryBudget& budget,
                           const RetryPolicy& policy) {
  budget.count_call();
  bool unknown = false;
  for (std::size_t next = 2;; ++next) {
    CallResult result = attempt(request);
    if (result.answer)
      return result;
    unknown = unknown || result.outcome == Outcome::Unknown;
    const auto wait = pause_before_repeat(result, request, repeat, next, policy);
    const bool goes_on =
        wait && now() + *wait < request.deadline && budget.take() && pause(*wait, request);
    if (goes_on)
      continue;
    // An earlier attempt may have been executed even if the last one certainly was not.
    if (unknown && result.outcome == Outcome::NotSent) {
      return {Outcome::Unknown, tl::unexpected(Error{ErrorCode::OutcomeUnknown,
                                                     "perhaps executed by an earlier attempt: " +
                                                         result.answer.error().message})};
    }
    return result;
  }
}

CallResult call_with_retry(Pool& pool, const Request& request, Repeat repeat, RetryBudget& budget,
                           Lane lane, const RetryPolicy& policy) {
  return call_with_retry([&pool, lane](const Request& again) { return pool.call(again, lane); },
                         request, repeat, budget, policy);
}

}  // namespace common::rpc
