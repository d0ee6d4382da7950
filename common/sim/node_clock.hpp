#pragma once

// The clocks of one simulated machine, as functions of true time.

#include <cstdint>

#include "common/clock.hpp"

namespace common::sim {

// Time since the run began, as no machine can know it.
using TrueTime = Duration;

// BOOTTIME never jumps and counts through suspend, but may run fast or slow, and starts anew when
// the machine reboots. MONOTONIC is the same without the time spent suspended. Wall time shares the
// oscillator, survives a reboot, and may be stepped. Calls must not go back in true time.
class NodeClock {
 public:
  NodeClock() = default;
  // At true time zero the machine has been up for `uptime` and its wall clock is off by
  // `wall_error`.
  NodeClock(Duration uptime, Duration wall_error, std::int32_t drift_ppm);

  [[nodiscard]] Instant boot(TrueTime now) const {
    return Instant{boot_ + local(now - anchor_, drift_ppm_)};
  }
  [[nodiscard]] Instant monotonic(TrueTime now) const;
  [[nodiscard]] WallTime wall(TrueTime now) const;
  [[nodiscard]] std::int32_t drift_ppm() const { return drift_ppm_; }
  // Grows whenever answers of true_time_of() change.
  [[nodiscard]] std::uint32_t changes() const { return changes_; }

  // The first true time, not before `now`, at which boot() has reached `when`, if drift stays.
  [[nodiscard]] TrueTime true_time_of(Instant when, TrueTime now) const;

  void set_drift(TrueTime now, std::int32_t drift_ppm);
  void jump_wall(Duration by) { wall_offset_ += by; }
  void suspend(TrueTime now);
  void resume(TrueTime now);
  // BOOTTIME and MONOTONIC start again from `uptime`.
  void reboot(TrueTime now, Duration uptime);

 private:
  static constexpr std::int64_t kMillion = 1'000'000;
  // elapsed * (1e6 + drift) / 1e6, without overflow for centuries.
  static constexpr Duration local(Duration elapsed, std::int32_t drift_ppm) {
    const std::int64_t ns = elapsed.count();
    return Duration{ns + ns / kMillion * drift_ppm + ns % kMillion * drift_ppm / kMillion};
  }

  TrueTime anchor_{};        // true time at which the following held
  Duration boot_{};          // BOOTTIME then
  Duration wall_offset_{};   // wall minus BOOTTIME
  Duration asleep_{};        // BOOTTIME minus MONOTONIC, finished suspends only
  Duration asleep_since_{};  // BOOTTIME at which the present suspend began
  bool suspended_ = false;
  std::int32_t drift_ppm_ = 0;
  std::uint32_t changes_ = 0;
};

}  // namespace common::sim
