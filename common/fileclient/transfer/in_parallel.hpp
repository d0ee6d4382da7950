#pragma once

// One thing after another, on a few threads.

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "common/result.hpp"
#include "common/sync/locked.hpp"

namespace common::fileclient {

// Calls work(i) for each i below `count`, on at most so many threads, this one among them. After
// the first that fails no other is begun; gives its error. `work` must not throw.
template <typename Work>
[[nodiscard]] Status in_parallel(std::size_t threads, std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  Locked<Status> first_failure;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      Status done = work(i);
      if (done)
        continue;
      next = count;
      auto failure = first_failure.lock();
      if (*failure)
        *failure = std::move(done);
      return;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < std::min(threads, count); ++i)
    others.emplace_back(run);
  run();
  for (std::thread& thread : others)
    thread.join();
  return *first_failure.lock();
}

}  // namespace common::fileclient
