#include "common/timer_queue.hpp"

#include <map>
#include <random>

#include "tests/support/test.hpp"

namespace {

using common::Duration;
using common::Instant;
using Timers = common::TimerQueue<std::uint64_t>;

Instant at(std::int64_t ns) {
  return Instant(Duration(ns));
}

TEST_CASE("deadlines come up in order and once") {
  Timers timers;
  timers.set(1, at(30));
  timers.set(2, at(10));
  timers.set(3, at(20));
  CHECK(timers.next() == at(10));
  CHECK_FALSE(timers.expired(at(9)));
  CHECK(timers.expired(at(25)) == 2);
  CHECK(timers.expired(at(25)) == 3);
  CHECK_FALSE(timers.expired(at(25)));
  CHECK(timers.expired(at(30)) == 1);
  CHECK(timers.next() == Instant::max());
}

TEST_CASE("a deadline may move either way or vanish") {
  Timers timers;
  timers.set(1, at(10));
  timers.set(1, at(50));
  CHECK_FALSE(timers.expired(at(49)));
  timers.set(1, at(20));
  CHECK(timers.expired(at(20)) == 1);
  CHECK_FALSE(timers.expired(at(1000)));
  timers.set(2, at(5));
  timers.set(2, Instant::max());
  timers.set(3, at(5));
  timers.forget(3);
  CHECK_FALSE(timers.expired(at(1000)));
}

TEST_CASE("random use agrees with a sorted map, and left-overs stay bounded") {
  std::mt19937 random(7);
  Timers timers;
  std::map<std::uint64_t, Instant> model;
  std::int64_t now = 0;
  for (int step = 0; step < 50'000; ++step) {
    const std::uint64_t id = random() % 50;
    switch (random() % 4) {
      case 0:
      case 1: {
        const Instant when = at(now + static_cast<std::int64_t>(random() % 1000));
        timers.set(id, when);
        model[id] = when;
        break;
      }
      case 2:
        timers.forget(id);
        model.erase(id);
        break;
      default:
        now += static_cast<std::int64_t>(random() % 20);
        while (const auto due = timers.expired(at(now))) {
          REQUIRE(model.count(*due) == 1);
          CHECK(model[*due] <= at(now));
          model.erase(*due);
        }
        for (const auto& [waiting, when] : model)
          CHECK(when > at(now));
    }
    CHECK(timers.size() == model.size());
    CHECK(timers.queued() <= 4 * 50 + 65);
  }
}

}  // namespace
