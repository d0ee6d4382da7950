#include "fileserver/store/blocks/work_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "common/sync/mutex.hpp"

namespace fileserver::store {

namespace {

using common::CondVar;
using common::Mutex;
using common::MutexLock;
using common::Status;

// Waits are bounded by rule; whoever wakes for nothing looks again and sleeps on.
constexpr std::chrono::seconds kLookAgain{1};

// One call of run(). Lives on the caller's stack: it leaves the queue, and the last helper leaves
// it, before run() returns.
struct Job {
  const std::size_t count;
  const std::function<Status(std::size_t)>& task;
  std::size_t next = 0;     // the first index that nobody has taken
  std::size_t helpers = 0;  // that work on it now
  std::size_t failed_at = 0;
  Status status;
};

}  // namespace

struct WorkPool::State {
  // Takes indices of `job` until there are none. Holds the lock but while a task runs.
  void work_on(Job& job) REQUIRES(mutex) {
    while (job.status && job.next < job.count)
      take_one(job);
  }

  void take_one(Job& job) REQUIRES(mutex) {
    const std::size_t index = job.next++;
    mutex.unlock();
    Status status = job.task(index);
    mutex.lock();
    // Indices are taken in order, so what failed first in order is known once all have ended.
    if (!status && (job.status || index < job.failed_at)) {
      job.failed_at = index;
      job.status = std::move(status);
    }
  }

  void helper_main() {
    MutexLock lock(mutex);
    while (!stopping) {
      if (jobs.empty()) {
        static_cast<void>(work.wait_for(mutex, kLookAgain));
        continue;
      }
      Job& job = *jobs.front();
      ++job.helpers;
      work_on(job);
      forget(job);
      if (--job.helpers == 0)
        done.notify_all();
    }
  }

  // Nothing of it is left to be taken.
  void forget(const Job& job) REQUIRES(mutex) { std::erase(jobs, &job); }

  Mutex mutex;
  CondVar work;
  CondVar done;
  std::deque<Job*> jobs GUARDED_BY(mutex);
  bool stopping GUARDED_BY(mutex) = false;
  std::vector<std::thread> threads;
};

WorkPool::WorkPool(std::size_t helpers) : state_(std::make_unique<State>()) {
  state_->threads.reserve(helpers);
  for (std::size_t i = 0; i < helpers; ++i) {
    state_->threads.emplace_back([this] { state_->helper_main(); });
    const std::string name = "store-hash-" + std::to_string(i + 1);
    ::pthread_setname_np(state_->threads.back().native_handle(), name.substr(0, 15).c_str());
  }
}

WorkPool::WorkPool()
    : WorkPool(std::max<std::size_t>(std::thread::hardware_concurrency(), 1) - 1) {}

WorkPool::~WorkPool() {
  {
    MutexLock lock(state_->mutex);
    state_->stopping = true;
    state_->work.notify_all();
  }
  for (std::thread& thread : state_->threads)
    thread.join();
}

Status WorkPool::run(std::size_t count, const std::function<Status(std::size_t)>& task) {
  if (count <= 1 || state_->threads.empty()) {
    for (std::size_t i = 0; i < count; ++i)
      TROTH_TRY_VOID(task(i));
    return {};
  }
  Job job{.count = count, .task = task};
  MutexLock lock(state_->mutex);
  state_->jobs.push_back(&job);
  for (std::size_t i = 0; i < std::min(count - 1, state_->threads.size()); ++i)
    state_->work.notify_one();
  state_->work_on(job);
  state_->forget(job);
  while (job.helpers > 0)
    static_cast<void>(state_->done.wait_for(state_->mutex, kLookAgain));
  return job.status;
}

std::size_t WorkPool::threads() const {
  return state_->threads.size() + 1;
}

}  // namespace fileserver::store
