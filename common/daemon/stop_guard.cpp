#include "common/daemon/stop_guard.hpp"

#include <unistd.h>

#include "common/daemon/exit_codes.hpp"
#include "common/log/log.hpp"

namespace common::daemon {

StopGuard::StopGuard(std::chrono::milliseconds limit) : thread_([this, limit] { watch(limit); }) {}

StopGuard::~StopGuard() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void StopGuard::watch(std::chrono::milliseconds limit) {
  const auto give_up = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mutex_);
  while (!stopped_) {
    const auto left = give_up - std::chrono::steady_clock::now();
    if (left <= std::chrono::steady_clock::duration::zero()) {
      log::error("stopping took too long; ending without waiting further",
                 {{"limit_ms", limit.count()}});
      ::_exit(kExitFailure);
    }
    changed_.wait_for(mutex_, left);
  }
}

}  // namespace common::daemon
