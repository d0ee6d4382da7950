#pragma once

// A few threads for pieces of work that wait for a server, and at most so many pieces at a time:
// who has more waits.

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/sync/mutex.hpp"

namespace common::fileclient {

class WorkQueue {
 public:
  explicit WorkQueue(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.emplace_back([this] { run(); });
  }
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;
  // Does what was added first.
  ~WorkQueue() {
    {
      const MutexLock lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_)
      thread.join();
  }

  // Blocks while twice as many pieces wait as there are threads. `work` must not throw.
  void add(std::function<void()> work) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (waiting_.size() >= 2 * threads_.size())
      changed_.wait_for(mutex_, kLook);
    waiting_.push_back(std::move(work));
    changed_.notify_all();
  }
  // Until nothing waits and nothing is being done.
  void drain() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    while (!waiting_.empty() || working_ > 0)
      changed_.wait_for(mutex_, kLook);
  }

 private:
  static constexpr std::chrono::milliseconds kLook{100};  // a lost wake-up costs no more

  void run() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (;;) {
      while (waiting_.empty() && !ended_)
        changed_.wait_for(mutex_, kLook);
      if (waiting_.empty())
        return;
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      ++working_;
      changed_.notify_all();
      lock.unlock();
      work();
      lock.lock();
      --working_;
      changed_.notify_all();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> waiting_ GUARDED_BY(mutex_);
  std::size_t working_ GUARDED_BY(mutex_) = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace common::fileclient
