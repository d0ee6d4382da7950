#include "fileserver/operations/allowance.hpp"

#include "tests/support/test.hpp"

using common::ErrorCode;
using common::ManualClock;
using common::ticket::PrincipalId;
using fileserver::Allowance;
using namespace std::chrono_literals;

TEST_CASE("each has so much at once, and then as fast as it comes back") {
  ManualClock clock;
  Allowance allowance(clock, {10, 1s});
  const PrincipalId one{1};
  const PrincipalId other{2};
  CHECK_OK(allowance.take(one, 4));
  CHECK_OK(allowance.take(one, 6));
  const auto refused = allowance.take(one, 1);
  CHECK_FAILS(refused, ErrorCode::Overloaded);
  CHECK(refused.error().retry_after == 1s);
  CHECK_FAILS(allowance.check(one, 1), ErrorCode::Overloaded);
  CHECK_OK(allowance.take(other, 10));
  clock.advance(1s);
  CHECK_OK(allowance.check(one, 1));
  CHECK_OK(allowance.take(one, 1));
  CHECK_FAILS(allowance.take(one, 1), ErrorCode::Overloaded);
  // What was refused was not taken.
  clock.advance(2s);
  CHECK_FAILS(allowance.take(one, 3), ErrorCode::Overloaded);
  CHECK_OK(allowance.take(one, 2));
  allowance.give_back(one, 5);
  CHECK_OK(allowance.take(one, 5));
  // Nobody has more than there is at once, however long he has asked for nothing.
  clock.advance(1'000s);
  CHECK_FAILS(allowance.take(one, 11), ErrorCode::Overloaded);
  allowance.give_back(one, 100);
  CHECK_FAILS(allowance.take(one, UINT64_MAX), ErrorCode::Overloaded);
  CHECK_OK(allowance.take(one, 10));
  CHECK_FAILS(allowance.take(one, 1), ErrorCode::Overloaded);
}
