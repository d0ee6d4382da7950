#include "common/daemon/self_probe.hpp"

#include <new>

#include "common/sync/mutex.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/rpc_fixture.hpp"

namespace {

// Fails the first beat for want of memory and counts the others.
class ShortOnce final : public common::Clock {
 public:
  [[nodiscard]] common::Instant now() const override {
    common::MutexLock lock(mutex_);
    ++asked_;
    changed_.notify_all();
    if (asked_ == 1)
      throw std::bad_alloc();
    return common::SystemClock().now();
  }
  [[nodiscard]] common::WallTime wall_now() const override { return {}; }

  [[nodiscard]] bool asked_again() const {
    const auto until = std::chrono::steady_clock::now() + test_support::kPatience;
    common::MutexLock lock(mutex_);
    while (asked_ < 2 && std::chrono::steady_clock::now() < until)
      changed_.wait_for(mutex_, std::chrono::milliseconds(100));
    return asked_ >= 2;
  }

 private:
  mutable common::Mutex mutex_;
  mutable common::CondVar changed_;
  mutable int asked_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

TEST_CASE("a probe that runs out of memory counts as no answer, and the next is made") {
  test_support::RpcCell cell;
  cell.start();
  const ShortOnce clock;
  common::daemon::Heartbeat heartbeat(clock, "calls", std::chrono::seconds(1));
  const auto probe = common::daemon::SelfProbe::start({.address = "127.0.0.1",
                                                       .port = cell.port(),
                                                       .server_name = {},
                                                       .role = "test",
                                                       .ca = cell.certificates().ca(),
                                                       .heartbeat = &heartbeat,
                                                       .every = std::chrono::milliseconds(10)});
  REQUIRE_OK(probe);
  CHECK(clock.asked_again());
}
