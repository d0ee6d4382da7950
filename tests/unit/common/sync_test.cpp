#include <thread>
#include <vector>

#include "common/sync/locked.hpp"
#include "common/sync/mutex.hpp"
#include "common/sync/striped.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;

TEST_CASE("locked state survives many writers") {
  common::Locked<int> count(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i)
        ++*count.lock();
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(*count.lock() == 40'000);
}

TEST_CASE("a bounded wait ends when the condition comes true, and when it never does") {
  common::Locked<bool> ready(false);
  common::CondVar cv;
  CHECK_FALSE(ready.lock().wait_for(cv, 1ms, [](bool r) { return r; }));
  std::thread setter([&] {
    *ready.lock() = true;
    cv.notify_one();
  });
  CHECK(ready.lock().wait_for(cv, 10s, [](bool r) { return r; }));
  setter.join();
}

TEST_CASE("the annotated condition variable hands the mutex back") {
  common::Mutex mutex;
  common::CondVar cv;
  common::MutexLock lock(mutex);
  CHECK_FALSE(cv.wait_for(mutex, 1ms));
  bool taken = false;
  std::thread other([&] {
    if (mutex.try_lock()) {
      taken = true;
      mutex.unlock();
    }
  });
  other.join();
  CHECK_FALSE(taken);
}

TEST_CASE("a key always maps to one shard, and several are locked in one order without repeats") {
  common::Striped<int> stripes(8);
  stripes.of(13) = 7;
  CHECK(stripes.at(13 % 8) == 7);
  CHECK(stripes.in_lock_order({15, 3, 11, 7}) == std::vector<std::size_t>{3, 7});
  CHECK(common::Striped<int>(0).size() == 1);
}
