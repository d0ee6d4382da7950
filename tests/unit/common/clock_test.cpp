#include "common/clock.hpp"

#include "tests/support/test.hpp"

using namespace std::chrono_literals;

TEST_CASE("a manual clock moves only when told to, and a wall jump leaves boot time alone") {
  common::ManualClock clock;
  const auto start = clock.now();
  const auto wall = clock.wall_now();
  CHECK(clock.now() == start);
  clock.advance(5s);
  CHECK(clock.now() - start == 5s);
  CHECK(clock.wall_now() - wall == 5s);
  clock.jump_wall(-1h);
  CHECK(clock.now() - start == 5s);
  CHECK(clock.wall_now() - wall == 5s - 1h);
}

TEST_CASE("the system clock never goes back") {
  common::SystemClock clock;
  auto last = clock.now();
  for (int i = 0; i < 10'000; ++i) {
    const auto next = clock.now();
    REQUIRE(next >= last);
    last = next;
  }
}
