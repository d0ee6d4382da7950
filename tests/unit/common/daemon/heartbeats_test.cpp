#include "common/daemon/heartbeats.hpp"

#include "tests/support/test.hpp"

using namespace common::daemon;
using namespace std::chrono_literals;

TEST_CASE("a loop that stops beating is named once its time is over") {
  common::ManualClock clock;
  Heartbeats beats(clock);
  Heartbeat& loop = beats.add("accept loop", 5s);
  loop.beat();
  clock.advance(5s);
  CHECK_FALSE(beats.overdue());
  clock.advance(250ms);
  REQUIRE(beats.overdue());
  CHECK(*beats.overdue() == "accept loop gives no sign of life, 250 ms overdue");
  loop.beat();
  CHECK_FALSE(beats.overdue());
}

TEST_CASE("a loop is not watched before it begins nor while it rests") {
  common::ManualClock clock;
  Heartbeats beats(clock);
  Heartbeat& loop = beats.add("loop", 1s);
  clock.advance(1h);
  CHECK_FALSE(beats.overdue());
  loop.beat();
  loop.rest();
  clock.advance(1h);
  CHECK_FALSE(beats.overdue());
}

TEST_CASE("one dead loop among living ones is enough") {
  common::ManualClock clock;
  Heartbeats beats(clock);
  Heartbeat& living = beats.add("living", 1s);
  Heartbeat& dead = beats.add("dead", 1s);
  living.beat();
  dead.beat();
  for (int i = 0; i < 5; ++i) {
    clock.advance(500ms);
    living.beat();
  }
  REQUIRE(beats.overdue());
  CHECK(beats.overdue()->starts_with("dead "));
}

TEST_CASE("a counter that stands still is silence, one that moves is life") {
  common::ManualClock clock;
  Heartbeats beats(clock);
  std::uint64_t turns = 0;
  beats.add_activity(beats.add("rpc loop", 3s), [&turns] { return turns; });
  beats.sample();
  for (int i = 0; i < 10; ++i) {
    clock.advance(1s);
    ++turns;
    beats.sample();
    CHECK_FALSE(beats.overdue());
  }
  for (int i = 0; i < 4; ++i) {
    clock.advance(1s);
    beats.sample();
  }
  CHECK(beats.overdue());
  ++turns;
  beats.sample();
  CHECK_FALSE(beats.overdue());
}
