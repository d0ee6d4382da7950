#include "common/log/seldom.hpp"

#include "tests/support/test.hpp"

using common::Instant;
using common::log::Seldom;
using namespace std::chrono_literals;

TEST_CASE("lines are held back and counted, and time earns new ones") {
  Seldom seldom(1s, 2);
  const Instant start = Instant{} + 1h;
  CHECK(seldom.admit(start) == 0);
  CHECK(seldom.admit(start) == 0);
  for (int i = 0; i < 5; ++i)
    CHECK_FALSE(seldom.admit(start + 900ms).has_value());
  CHECK(seldom.admit(start + 1s) == 5);
  CHECK_FALSE(seldom.admit(start + 1900ms).has_value());
  // However long nothing was said, no more than the burst.
  CHECK(seldom.admit(start + 1h) == 1);
  CHECK(seldom.admit(start + 1h) == 0);
  CHECK_FALSE(seldom.admit(start + 1h).has_value());
  CHECK(seldom.admit(start + 1h + 1s) == 1);
}
