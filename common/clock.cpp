#include "common/clock.hpp"

#include <time.h>

namespace common {
namespace {

std::int64_t read_clock(clockid_t id) {
  timespec ts{};
  ::clock_gettime(id, &ts);  // cannot fail for the clocks used here
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

Instant SystemClock::now() const {
  return Instant{Duration{read_clock(CLOCK_BOOTTIME)}};
}

WallTime SystemClock::wall_now() const {
  return WallTime{Duration{read_clock(CLOCK_REALTIME)}};
}

Instant ManualClock::now() const {
  return Instant{Duration{boot_ns_.load()}};
}

WallTime ManualClock::wall_now() const {
  return WallTime{Duration{wall_ns_.load()}};
}

void ManualClock::advance(Duration by) {
  boot_ns_ += by.count();
  wall_ns_ += by.count();
}

void ManualClock::jump_wall(Duration by) {
  wall_ns_ += by.count();
}

}  // namespace common
