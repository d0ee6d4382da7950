#pragma once

// Hears signals from the first moment on, and ends a process that does not manage to stop.

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "common/daemon/signals.hpp"
#include "common/io/unique_fd.hpp"
#include "common/sync/mutex.hpp"

namespace common::daemon {

// How long a stop may take, from the signal to the end of the process: 2 s less what ending takes
// on a busy machine. Nothing stored depends on stopping well, so waiting longer for a stuck disk or
// peer only delays the restart.
inline constexpr std::chrono::milliseconds kStopLimit{1900};

// One thread that reads the signals, whatever the main thread is at: starting, reloading, stopping.
// From the first signal to stop on, the process has `limit` to destroy this; else it is ended with
// one line in the log: with kExitOk while it starts, for then nothing is cut off that anybody was
// promised, with kExitFailure once it has served.
class StopGuard {
 public:
  static Result<std::unique_ptr<StopGuard>> start(std::chrono::milliseconds limit = kStopLimit);
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

  // For the main loop. Readable when next() has something.
  [[nodiscard]] int fd() const { return news_.get(); }
  // Does not wait. Reloads that came together are one; a stop stays one.
  [[nodiscard]] std::optional<Signal> next();
  [[nodiscard]] bool stop_asked() const { return stop_asked_; }

  // Starting is over.
  void serving() { serving_ = true; }

 private:
  StopGuard(Signals signals, UniqueFd news, UniqueFd done, std::chrono::milliseconds limit);
  void watch(std::chrono::milliseconds limit);
  [[noreturn]] void cut_off(std::chrono::milliseconds limit) const;

  Signals signals_;  // the thread's
  UniqueFd news_;    // an eventfd: there is a signal for the main loop
  UniqueFd done_;    // an eventfd: the thread shall end
  std::atomic<bool> stop_asked_{false};
  std::atomic<bool> reload_asked_{false};
  std::atomic<bool> serving_{false};
  std::thread thread_;
};

}  // namespace common::daemon
