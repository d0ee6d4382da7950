#pragma once

// Signs of life of a program's loops, so that the watchdog is fed for a reason.

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/sync/locked.hpp"

namespace common::daemon {

// One loop's sign of life. beat() and rest() are safe from any thread and never block.
class Heartbeat {
 public:
  Heartbeat(const Clock& clock, std::string name, Duration longest_silence)
      : clock_(clock), name_(std::move(name)), longest_silence_(longest_silence) {}

  // The loop has come round.
  void beat() { last_ns_.store(now_ns(), std::memory_order_relaxed); }
  // The loop has ended or waits without a limit on purpose: not watched until it beats again.
  void rest() { last_ns_.store(kResting, std::memory_order_relaxed); }

  [[nodiscard]] const std::string& name() const { return name_; }
  // How long it has been silent beyond what it may; zero or less: alive.
  [[nodiscard]] Duration overdue() const;

 private:
  static constexpr std::int64_t kResting = -1;
  [[nodiscard]] std::int64_t now_ns() const { return clock_.now().time_since_epoch().count(); }

  const Clock& clock_;
  std::string name_;
  Duration longest_silence_;
  std::atomic<std::int64_t> last_ns_{kResting};
};

// All of a program's loops. Owned by run_program; outlives what beats in it.
class Heartbeats {
 public:
  explicit Heartbeats(const Clock& clock) : clock_(clock) {}

  // A new loop that must beat at least every `longest_silence` once it has begun. Any thread; the
  // reference stays good.
  Heartbeat& add(std::string name, Duration longest_silence);

  // A second sign of the same life: a change of `count` beats as well. It runs in the main thread,
  // must not block, and must stay callable until the last sample().
  void add_activity(Heartbeat& beat, std::function<std::uint64_t()> count);

  // Main thread, about once a second: reads the counts.
  void sample();

  // The loop that is overdue the longest, as a sentence; nullopt: all are alive. Any thread.
  [[nodiscard]] std::optional<std::string> overdue() const;

 private:
  struct Counter {
    Heartbeat* beat;
    std::function<std::uint64_t()> count;
    std::optional<std::uint64_t> last;
  };
  struct State {
    std::deque<Heartbeat> beats;  // never moves its elements
    std::vector<Counter> counters;
  };

  const Clock& clock_;
  mutable Locked<State> state_;
};

}  // namespace common::daemon
