#pragma once

// Ends a process that does not manage to stop.

#include <chrono>
#include <thread>

#include "common/sync/mutex.hpp"

namespace common::daemon {

// How long an orderly stop may take. Nothing stored depends on stopping well, so waiting longer for
// a stuck disk or peer only delays the restart.
inline constexpr std::chrono::milliseconds kStopLimit{2000};

// From construction on, the process has `limit` to destroy this; else it is ended with
// kExitFailure and one line in the log.
class StopGuard {
 public:
  explicit StopGuard(std::chrono::milliseconds limit = kStopLimit);
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

 private:
  void watch(std::chrono::milliseconds limit);

  Mutex mutex_;
  CondVar changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace common::daemon
