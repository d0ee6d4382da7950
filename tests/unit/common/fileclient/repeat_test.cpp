#include "common/fileclient/repeat.hpp"

#include "common/fileclient/operation_ids.hpp"
#include "tests/support/test.hpp"

using namespace common::fileclient;
using namespace std::chrono_literals;
using common::Duration;
using common::Error;
using common::ErrorCode;
using common::rpc::CallResult;
using common::rpc::Outcome;

namespace {

CallResult failed(Outcome outcome, ErrorCode code, std::chrono::milliseconds after = {},
                  std::string detail = {}) {
  Error error{code, "no", after};
  error.detail = std::move(detail);
  return {outcome, tl::unexpected(error)};
}

bool repeats(const CallResult& result) {
  return pause_before_repeat(result, {}).has_value();
}

}  // namespace

TEST_CASE("a call is made again exactly where the protocol says so") {
  CHECK(repeats(failed(Outcome::NotSent, ErrorCode::Unavailable)));
  CHECK_FALSE(repeats(failed(Outcome::NotSent, ErrorCode::DeadlineExceeded)));
  CHECK_FALSE(repeats(failed(Outcome::NotSent, ErrorCode::Unauthenticated)));
  CHECK_FALSE(repeats(failed(Outcome::NotSent, ErrorCode::NotFound)));
  CHECK(repeats(failed(Outcome::Unknown, ErrorCode::OutcomeUnknown)));
  for (const ErrorCode code : {ErrorCode::Unavailable, ErrorCode::Overloaded,
                               ErrorCode::DeadlineExceeded, ErrorCode::OutcomeUnknown})
    CHECK(repeats(failed(Outcome::Answered, code)));
  for (const ErrorCode code :
       {ErrorCode::Conflict, ErrorCode::Stale, ErrorCode::NotFound, ErrorCode::PermissionDenied,
        ErrorCode::AlreadyExists, ErrorCode::NoSpace, ErrorCode::ResourceExhausted,
        ErrorCode::Corrupt, ErrorCode::Internal, ErrorCode::InvalidArgument})
    CHECK_FALSE(repeats(failed(Outcome::Answered, code)));
}

TEST_CASE("a ticket that has ended is replaced once; an id that has ended is not") {
  const CallResult ticket = failed(Outcome::Answered, ErrorCode::Expired);
  CHECK(pause_before_repeat(ticket, {}) == Duration::zero());
  CHECK_FALSE(pause_before_repeat(ticket, {.number = 2, .by_ticket = true}).has_value());
  CHECK_FALSE(repeats(failed(Outcome::Answered, ErrorCode::Expired, {}, R"({"why":"id"})")));
}

TEST_CASE("pauses double up to a second, and are never shorter than the server asks for") {
  const CallResult away = failed(Outcome::NotSent, ErrorCode::Unavailable);
  const auto pause = [&](std::size_t number) {
    return *pause_before_repeat(away, {.number = number, .by_ticket = false, .jitter_free = true});
  };
  CHECK(pause(1) == 20ms);
  CHECK(pause(2) == 40ms);
  CHECK(pause(6) == 640ms);
  CHECK(pause(7) == 1s);
  CHECK(pause(1000) == 1s);
  const CallResult asks = failed(Outcome::Answered, ErrorCode::Unavailable, 7s);
  CHECK(*pause_before_repeat(asks, {}) == 7s);
  for (int i = 0; i < 100; ++i) {
    const Duration jittered = *pause_before_repeat(away, {.number = 7});
    CHECK(jittered >= 500ms);
    CHECK(jittered <= 1500ms);
  }
}

TEST_CASE("numbers of operations grow, whatever the clock does") {
  const common::WallTime now{std::chrono::milliseconds(1'800'000'000'000)};
  const std::uint64_t first = operation_number(now, 5, 0);
  CHECK(first == (std::uint64_t{1'800'000'000'000} << 20 | 5));
  CHECK(operation_number(now, 5, first) == first + 1);
  CHECK(operation_number(now - 1h, 5, first) == first + 1);
  CHECK(operation_number(now + 1ms, 0, first) > first + 1);
  // Below 2^63 until the year 2248.
  CHECK(operation_number(common::WallTime{std::chrono::hours(24 * 365 * 275)}, ~0U, 0) <
        std::uint64_t{1} << 63);
  common::SystemClock clock;
  OperationIds ids(clock);
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto id = ids.next();
    CHECK(id.high == 0);
    CHECK(id.low > last);
    last = id.low;
  }
}
