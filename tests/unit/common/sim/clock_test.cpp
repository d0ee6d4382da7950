#include "common/sim/node_clock.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::sim;
using namespace std::chrono_literals;

TEST_CASE("a clock that drifts is off by that many parts per million") {
  const NodeClock fast(1h, 0s, 500);
  const NodeClock slow(1h, 0s, -500);
  CHECK(fast.boot(1000s) - Instant{1h} == 1000s + 500ms);
  CHECK(slow.boot(1000s) - Instant{1h} == 1000s - 500ms);
}

TEST_CASE("the true time of an instant is the first at which the clock shows it") {
  for (std::int32_t drift : {-1000, -3, 0, 1, 500}) {
    const NodeClock clock(5s, 0s, drift);
    for (Duration ahead : {Duration(1ns), Duration(999'999'999ns), Duration(10h)}) {
      const Instant when = clock.boot(7s) + ahead;
      const TrueTime at = clock.true_time_of(when, 7s);
      CHECK(clock.boot(at) >= when);
      CHECK(clock.boot(at - 1ns) <= when);
      CHECK(at - 7s >= ahead - ahead / 900);
    }
    CHECK(clock.true_time_of(clock.boot(3s), 7s) == 7s);
  }
}

TEST_CASE("a change of drift does not make a clock jump") {
  NodeClock clock(1h, 0s, 400);
  const Instant before = clock.boot(100s);
  clock.set_drift(100s, -400);
  CHECK(clock.boot(100s) == before);
  CHECK(clock.boot(200s) - before == 100s - 40ms);
}

TEST_CASE("wall time jumps, BOOTTIME does not") {
  NodeClock clock(1h, -3s, 0);
  const Instant boot = clock.boot(10s);
  const WallTime wall = clock.wall(10s);
  clock.jump_wall(-100h);
  CHECK(clock.boot(10s) == boot);
  CHECK(clock.wall(10s) == wall - 100h);
}

TEST_CASE("suspend is counted by BOOTTIME and not by MONOTONIC") {
  NodeClock clock(1h, 0s, 0);
  clock.suspend(10s);
  CHECK(clock.monotonic(25s) == clock.monotonic(10s));
  CHECK(clock.boot(25s) - clock.boot(10s) == 15s);
  clock.resume(30s);
  clock.suspend(31s);
  clock.resume(33s);
  CHECK(clock.boot(40s) - clock.monotonic(40s) == 22s);
}

TEST_CASE("a reboot starts BOOTTIME anew and keeps wall time") {
  NodeClock clock(1000h, 0s, 100);
  const WallTime wall = clock.wall(50s);
  clock.reboot(50s, 15s);
  CHECK(clock.boot(50s) == Instant{15s});
  CHECK(clock.monotonic(50s) == Instant{15s});
  CHECK(clock.wall(50s) == wall);
}
