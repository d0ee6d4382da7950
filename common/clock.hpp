#pragma once

// Time is a parameter. Durations of leases and deadlines are measured on CLOCK_BOOTTIME only, which
// counts through suspend and never jumps; wall time is for people and for tickets.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace common {

// Tag for instants of CLOCK_BOOTTIME; has no now() on purpose: ask a Clock.
struct BootTime {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootTime, duration>;
  static constexpr bool is_steady = true;
};

using Duration = std::chrono::nanoseconds;
using Instant = BootTime::time_point;
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;

// Source of time. Safe from any thread, never blocks.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
};

// The machine's own clocks.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

// Time that moves only when told to. Starts at an arbitrary non-zero instant, so that code which
// confuses "zero" with "unset" is noticed.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] WallTime wall_now() const override;

  // Moves both clocks forward.
  void advance(Duration by);
  // Steps the wall clock only, forward or back, as an administrator or NTP would.
  void jump_wall(Duration by);

 private:
  std::atomic<std::int64_t> boot_ns_{1'000'000'000};
  std::atomic<std::int64_t> wall_ns_{1'700'000'000'000'000'000};
};

}  // namespace common
