#include "kdc/ticket_policy.hpp"

#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using common::ErrorCode;
using common::ticket::Validity;
using kdc::Kind;
using kdc::Millis;
using kdc::Policy;
using kdc::Time;

const Time kMorning{Millis(1'800'000'000'000)};

Validity of_as(const Policy& policy, kdc::AskedLife asked, Kind kind = Kind::User,
               std::string_view service = kdc::kTgsService) {
  return kdc::initial_validity(policy, kind, service, asked, kMorning);
}

}  // namespace

TEST_CASE("a ticket lives as long as asked for, the policy allows and no ticket exceeds") {
  Policy policy;
  CHECK(of_as(policy, {}).end == kMorning + 10h);
  CHECK(of_as(policy, {.life = 1h}).end == kMorning + 1h);
  CHECK(of_as(policy, {.life = 20h}).end == kMorning + 10h);
  policy.ticket_life = 40h;  // no policy can be set so, and none that is would count
  CHECK(of_as(policy, {}).end == kMorning + 24h);
  CHECK(of_as(policy, {.life = Millis::max()}).end == kMorning + 24h);
  CHECK(of_as(policy, {}).initial);
  CHECK(of_as(policy, {}).authenticated == kMorning);
  CHECK(of_as(policy, {}).start == kMorning);
}

TEST_CASE("a ticket for administration from a key lives for five minutes at most") {
  const auto admin = [](kdc::AskedLife asked) {
    return of_as({}, asked, Kind::User, kdc::kAdminService);
  };
  CHECK(admin({}).end == kMorning + 5min);
  CHECK(admin({.life = 10h, .renew = 24h}).end == kMorning + 5min);
  CHECK(admin({.life = 1min}).end == kMorning + 1min);
  CHECK(!admin({.renew = 24h}).renew_till);
}

TEST_CASE("only users' TGTs can be renewed, and only if they asked for it") {
  const Policy policy;
  CHECK(!of_as(policy, {}).renew_till);
  CHECK(of_as(policy, {.renew = 24h}).renew_till == kMorning + 24h);
  CHECK(of_as(policy, {.renew = 24h * 20}).renew_till == kMorning + 24h * 7);
  CHECK(of_as(policy, {.renew = Millis::max()}).renew_till == kMorning + 24h * 7);
  // Never before the end.
  CHECK(of_as(policy, {.renew = 1h}).renew_till == kMorning + 10h);
  for (const Kind kind : {Kind::Service, Kind::Host})
    CHECK(!of_as(policy, {.renew = 24h}, kind).renew_till);
  Policy longest;
  longest.renewable_life = 24h * 90;
  CHECK(of_as(longest, {.renew = 24h * 90}).renew_till == kMorning + 24h * 30);
  Policy never;
  never.renewable_life = 0h;
  CHECK(!of_as(never, {.renew = 24h}).renew_till);
}

TEST_CASE("a ticket from a TGT never outlives it, is not initial and not renewable") {
  const Policy policy;
  Validity tgt = of_as(policy, {.renew = 24h});
  tgt.authenticated = kMorning - 3h;
  const Validity whole = kdc::derived_validity(policy, tgt, Millis(0), kMorning);
  CHECK(whole.end == tgt.end);
  CHECK(whole.authenticated == kMorning - 3h);
  CHECK(!whole.initial);
  CHECK(!whole.renew_till);
  CHECK(kdc::derived_validity(policy, tgt, 1h, kMorning).end == kMorning + 1h);
  CHECK(kdc::derived_validity(policy, tgt, Millis::max(), kMorning).end == tgt.end);
  const Time late = tgt.end - 1ms;
  CHECK(kdc::derived_validity(policy, tgt, Millis(0), late).end == tgt.end);
}

TEST_CASE("a renewed TGT ends later, but never after the time up to which it may be renewed") {
  const Policy policy;
  const Validity tgt = of_as(policy, {.renew = 24h});
  const auto renew = [&](Millis after) {
    return kdc::renewed_validity(policy, tgt, Millis(0), kMorning + after);
  };
  auto renewed = renew(5h);
  REQUIRE_OK(renewed);
  CHECK(renewed->end == kMorning + 15h);
  CHECK(renewed->renew_till == tgt.renew_till);
  CHECK(renewed->authenticated == kMorning);
  CHECK(!renewed->initial);
  renewed = renew(20h);
  REQUIRE_OK(renewed);
  CHECK(renewed->end == kMorning + 24h);
  CHECK_FAILS(renew(24h), ErrorCode::Expired);
  CHECK_FAILS(kdc::renewed_validity(policy, of_as(policy, {}), Millis(0), kMorning),
              ErrorCode::InvalidArgument);
}
