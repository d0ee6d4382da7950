#include "kdc/client_limit.hpp"

#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using kdc::Id;
using kdc::Millis;
using kdc::Time;

const Time kNow{Millis(1'800'000'000'000)};
constexpr Id kAlice{10'001};
constexpr Id kBob{10'002};

}  // namespace

TEST_CASE("a client is given a burst of tickets, then twenty a second, and others theirs") {
  kdc::ClientLimit limit(kdc::kTicketRules);
  int given = 0;
  while (given < 20'000 && limit.take(kAlice, kNow).allowed)
    ++given;
  CHECK(given == 10'000);
  CHECK(limit.take(kAlice, kNow).wait == 50ms);
  CHECK(limit.take(kBob, kNow).allowed);
  given = 0;
  while (given < 20'000 && limit.take(kAlice, kNow + 1s).allowed)
    ++given;
  CHECK(given == 20);
  CHECK(limit.take(kAlice, kNow + 1h).allowed);
}

TEST_CASE("a full table of clients forgets those whose bucket is full again, and no others") {
  kdc::ClientLimit limit(kdc::kTicketRules, 2);
  CHECK(limit.take(Id(1), kNow).allowed);
  CHECK(limit.take(Id(2), kNow).allowed);
  CHECK(!limit.take(Id(3), kNow).allowed);
  CHECK(limit.take(Id(1), kNow + 40ms).allowed);
  CHECK(limit.take(Id(3), kNow + 60ms).allowed);
}
