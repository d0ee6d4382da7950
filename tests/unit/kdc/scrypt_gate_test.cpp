#include "kdc/scrypt_gate.hpp"

#include <thread>
#include <vector>

#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using common::ErrorCode;
using kdc::ScryptGate;

const common::SystemClock kClock;

common::Instant in(common::Duration time) {
  return kClock.now() + time;
}
bool nobody_left() {
  return false;
}

}  // namespace

TEST_CASE("no more compute scrypt at once than the gate allows, and the rest come one by one") {
  ScryptGate gate(2, 16, kClock);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&] {
      const auto place = gate.enter(in(test_support::kPatience), nobody_left);
      if (!place)
        return;
      const int now = ++inside;
      int seen = most.load();
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      for (int spin = 0; spin < 1000; ++spin)
        std::this_thread::yield();
      --inside;
      ++done;
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(done == 12);
  CHECK(most <= 2);
  CHECK(gate.running() == 0);
  CHECK(gate.waiting() == 0);
}

TEST_CASE("when too many wait, the next is refused at once and told when to come back") {
  ScryptGate gate(1, 2, kClock);
  auto first = gate.enter(in(1s), nobody_left);
  REQUIRE_OK(first);
  std::vector<std::thread> threads;
  std::atomic<int> entered{0};
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      if (gate.enter(in(test_support::kPatience), nobody_left))
        ++entered;
    });
  }
  const common::Instant limit = in(test_support::kPatience);
  while (gate.waiting() < 2 && kClock.now() < limit)
    std::this_thread::yield();
  REQUIRE(gate.waiting() == 2);
  const auto refused = gate.enter(in(1s), nobody_left);
  CHECK_FAILS(refused, ErrorCode::Overloaded);
  CHECK(refused.error().retry_after > 0ms);
  { const ScryptGate::Place leaves = *std::move(first); }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(entered == 2);
}

TEST_CASE("who waits for scrypt gives up at his deadline, or when his caller has gone") {
  ScryptGate gate(1, 2, kClock);
  const auto held = gate.enter(in(1s), nobody_left);
  REQUIRE_OK(held);
  CHECK_FAILS(gate.enter(in(1ms), nobody_left), ErrorCode::DeadlineExceeded);
  CHECK_FAILS(gate.enter(in(test_support::kPatience), [] { return true; }), ErrorCode::Cancelled);
  CHECK(gate.waiting() == 0);
}
