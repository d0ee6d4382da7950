#pragma once

// Threads with small stacks, started one by one and joined together. Internal to the server.

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "common/sync/mutex.hpp"

namespace common::rpc {

class WorkerThreads {
 public:
  WorkerThreads() = default;
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  ~WorkerThreads() { join_all(); }

  // Starts a thread that runs `body`, unless `at_most` have been started. False: not started.
  bool start(const std::string& name, std::size_t at_most, std::function<void()> body)
      EXCLUDES(mutex_);

  // Waits for all; they must have been told to end. No start may follow.
  void join_all() EXCLUDES(mutex_);

  [[nodiscard]] std::size_t size() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::vector<pthread_t> threads_ GUARDED_BY(mutex_);
  bool joining_ GUARDED_BY(mutex_) = false;
};

}  // namespace common::rpc
