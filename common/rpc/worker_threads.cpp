#include "common/rpc/worker_threads.hpp"

#include <memory>
#include <utility>

namespace common::rpc {
namespace {

// Handlers keep large things on the heap; 256 threads of 8 MiB would be 2 GiB of address space.
// Sanitizers put red zones around every local.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = 2 * 1024 * 1024;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::size_t kStackBytes = 2 * 1024 * 1024;
#else
constexpr std::size_t kStackBytes = 256 * 1024;
#endif
#else
constexpr std::size_t kStackBytes = 256 * 1024;
#endif

void* run_body(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

bool WorkerThreads::start(const std::string& name, std::size_t at_most,
                          std::function<void()> body) {
  MutexLock lock(mutex_);
  if (joining_ || threads_.size() >= at_most)
    return false;
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  threads_.reserve(threads_.size() + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread{};
  const int problem = pthread_create(&thread, &attributes, run_body, argument.get());
  pthread_attr_destroy(&attributes);
  if (problem != 0)
    return false;
  (void)argument.release();  // the thread owns it
  pthread_setname_np(thread, name.c_str());
  threads_.push_back(thread);
  return true;
}

void WorkerThreads::join_all() {
  std::vector<pthread_t> threads;
  {
    MutexLock lock(mutex_);
    joining_ = true;
    threads.swap(threads_);
  }
  for (const pthread_t thread : threads)
    pthread_join(thread, nullptr);
}

std::size_t WorkerThreads::size() const {
  MutexLock lock(mutex_);
  return threads_.size();
}

}  // namespace common::rpc
