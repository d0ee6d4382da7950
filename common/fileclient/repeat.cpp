#include "common/fileclient/repeat.hpp"

#include <algorithm>

#include "common/rpc/jitter.hpp"

namespace common::fileclient {
namespace {

constexpr std::chrono::milliseconds kFirstPause{20};
constexpr std::chrono::milliseconds kLongestPause{1'000};

bool may_repeat(const rpc::CallResult& result) {
  const ErrorCode code = result.answer.error().code;
  switch (result.outcome) {
    case rpc::Outcome::NotSent:
      return code == ErrorCode::Unavailable || code == ErrorCode::Overloaded;
    case rpc::Outcome::Unknown:
      return true;
    case rpc::Outcome::Answered:
      return code == ErrorCode::Unavailable || code == ErrorCode::Overloaded ||
             code == ErrorCode::DeadlineExceeded || code == ErrorCode::OutcomeUnknown;
  }
  return false;
}

}  // namespace

bool is_ticket_refusal(const rpc::CallResult& result) {
  return result.outcome == rpc::Outcome::Answered && !result.answer &&
         result.answer.error().code == ErrorCode::Expired && result.answer.error().detail.empty();
}

std::optional<Duration> pause_before_repeat(const rpc::CallResult& result, const Attempt& attempt) {
  if (result.answer)
    return std::nullopt;
  if (is_ticket_refusal(result))
    return attempt.by_ticket ? std::nullopt : std::optional<Duration>(Duration::zero());
  if (!may_repeat(result))
    return std::nullopt;
  Duration pause = kFirstPause;
  for (std::size_t i = 1; i < attempt.number && pause < kLongestPause; ++i)
    pause *= 2;
  pause = std::min<Duration>(pause, kLongestPause);
  return std::max<Duration>(attempt.jitter_free ? pause : rpc::jittered(pause),
                            result.answer.error().retry_after);
}

}  // namespace common::fileclient
