#include "fileserver/store/blocks/work_pool.hpp"

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "common/sync/event.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using common::Status;
using fileserver::store::WorkPool;

TEST_CASE("each task runs once, whatever the number of helpers") {
  for (const std::size_t helpers : {0, 1, 3}) {
    WorkPool pool(helpers);
    CHECK(pool.threads() == helpers + 1);
    for (const std::size_t count : {0, 1, 2, 7, 500}) {
      std::vector<std::atomic<int>> runs(count);
      CHECK_OK(pool.run(count, [&](std::size_t i) -> Status {
        ++runs[i];
        return {};
      }));
      for (const auto& run : runs)
        CHECK(run == 1);
    }
  }
  CHECK(WorkPool().threads() >= 1);
}

TEST_CASE("helpers take part") {
  WorkPool pool(1);
  common::Event first;
  common::Event second;
  // Each waits for the other, as real tasks must not: only two threads can end this.
  CHECK_OK(pool.run(2, [&](std::size_t i) -> Status {
    (i == 0 ? first : second).set();
    if (!(i == 0 ? second : first).wait_for(test_support::kPatience))
      return common::fail(ErrorCode::DeadlineExceeded, "alone");
    return {};
  }));
}

TEST_CASE("the failure of the lowest index is told, and ends the rest") {
  for (const std::size_t helpers : {0, 2}) {
    WorkPool pool(helpers);
    for (int round = 0; round < 50; ++round) {
      std::atomic<std::size_t> ran = 0;
      const Status status = pool.run(1000, [&](std::size_t i) -> Status {
        ++ran;
        if (i >= 10)
          return common::fail(ErrorCode::Internal, "{}", i);
        return {};
      });
      REQUIRE_FALSE(status);
      CHECK(status.error().message == "10");
      CHECK(ran < 1000);
    }
  }
}

TEST_CASE("several callers share the helpers") {
  WorkPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<std::size_t> sum = 0;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        static_cast<void>(pool.run(20, [&](std::size_t i) -> Status {
          sum += i;
          return {};
        }));
      }
    });
  }
  for (std::thread& caller : callers)
    caller.join();
  CHECK(sum == 4 * 50 * 190);
}
