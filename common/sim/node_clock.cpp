#include "common/sim/node_clock.hpp"

#include <algorithm>

namespace common::sim {
namespace {

// 2023-11-14, in ns: any fixed date does.
constexpr Duration kWallEpoch{1'700'000'000'000'000'000};

}  // namespace

NodeClock::NodeClock(Duration uptime, Duration wall_error, std::int32_t drift_ppm)
    : boot_(uptime), wall_offset_(kWallEpoch + wall_error - uptime), drift_ppm_(drift_ppm) {}

Instant NodeClock::monotonic(TrueTime now) const {
  const Duration counted = suspended_ ? asleep_since_ : boot(now).time_since_epoch();
  return Instant{counted - asleep_};
}

WallTime NodeClock::wall(TrueTime now) const {
  return WallTime{boot(now).time_since_epoch() + wall_offset_};
}

TrueTime NodeClock::true_time_of(Instant when, TrueTime now) const {
  if (boot(now) >= when)
    return now;
  const std::int64_t ahead = (when.time_since_epoch() - boot_).count();
  const std::int64_t rate = kMillion + drift_ppm_;
  TrueTime guess = anchor_ + Duration{ahead / rate * kMillion + ahead % rate * kMillion / rate};
  guess = std::max(guess, now);
  // The division rounds; a few steps settle it.
  while (boot(guess) < when)
    guess += Duration{1};
  return guess;
}

void NodeClock::set_drift(TrueTime now, std::int32_t drift_ppm) {
  ++changes_;
  boot_ = boot(now).time_since_epoch();
  anchor_ = now;
  drift_ppm_ = drift_ppm;
}

void NodeClock::suspend(TrueTime now) {
  if (suspended_)
    return;
  asleep_since_ = boot(now).time_since_epoch();
  suspended_ = true;
}

void NodeClock::resume(TrueTime now) {
  if (!suspended_)
    return;
  asleep_ += boot(now).time_since_epoch() - asleep_since_;
  suspended_ = false;
}

void NodeClock::reboot(TrueTime now, Duration uptime) {
  ++changes_;
  const WallTime wall_now = wall(now);
  boot_ = uptime;
  anchor_ = now;
  wall_offset_ = wall_now.time_since_epoch() - uptime;
  asleep_ = Duration{0};
  suspended_ = false;
}

}  // namespace common::sim
