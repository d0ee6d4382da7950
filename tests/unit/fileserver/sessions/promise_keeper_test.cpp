#include "fileserver/sessions/promise_keeper.hpp"

#include <algorithm>
#include <map>
#include <thread>

#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using common::Fid;
using common::NodeId;
using common::SessionId;
using common::VolumeId;
using fileserver::ChangeNews;
using fileserver::PromiseKeeper;
using fileserver::Touched;

namespace {

// Notes what is said to whom, in order.
class Outlet final : public fileserver::PromiseOutlet {
 public:
  void send_break(const fileserver::SendBreak& message) override {
    note(fmt::format("break {} to {}", message.number, message.session.value));
  }
  void send_update(const fileserver::SendUpdate& message, const ChangeNews& news) override {
    note(fmt::format("update {} to {}", news.commit.seq.value, message.session.value));
  }
  void acknowledge_renewal(const fileserver::AcknowledgeRenewal& message) override {
    note(fmt::format("renewed {} of {}", message.number, message.session.value));
  }
  void session_over(const fileserver::SessionOver& message) override {
    note(fmt::format("over {}", message.session.value));
  }
  void forget_session(const fileserver::ForgetSession&) override {}
  void close_stream(const fileserver::CloseStream&) override { note("close"); }
  void grace_over() override { note("grace over"); }

  std::vector<std::string> said() {
    const common::MutexLock lock(mutex_);
    return said_;
  }
  bool wait_for(const std::string& text) {
    const common::MutexLock lock(mutex_);
    const common::SystemClock clock;
    const auto deadline = clock.now() + test_support::kPatience;
    const auto there = [&]() REQUIRES(mutex_) {
      return std::find(said_.begin(), said_.end(), text) != said_.end();
    };
    while (!there() && clock.now() < deadline)
      heard_.wait_for(mutex_, deadline - clock.now());
    return there();
  }

 private:
  void note(std::string text) {
    {
      const common::MutexLock lock(mutex_);
      said_.push_back(std::move(text));
    }
    heard_.notify_all();
  }
  common::Mutex mutex_;
  common::CondVar heard_;
  std::vector<std::string> said_ GUARDED_BY(mutex_);
};

class Waiter final : public fileserver::ChangeWaiter {
 public:
  void settled(bool ready) override { settled_.store(ready ? 1 : 2); }
  int value() const { return settled_.load(); }

 private:
  std::atomic<int> settled_{0};
};

struct Keeper {
  explicit Keeper(std::chrono::milliseconds lease = std::chrono::seconds(10)) {
    fileserver::PromiseOptions options;
    options.lease = lease;
    options.margin = lease / 5;
    keeper = std::make_unique<PromiseKeeper>(options, fileserver::FormerLife{}, clock, outlet);
  }
  void open(std::uint64_t id) {
    REQUIRE_OK(keeper->open_session(SessionId{id}));
    REQUIRE_OK(keeper->stream_up(SessionId{id}));
  }
  bool grant(std::uint64_t id, const Fid& node) {
    return keeper->grant(SessionId{id}, std::span(&node, 1), keeper->begin_read()).nodes[0];
  }
  common::Instant in(std::chrono::milliseconds time) const { return clock.now() + time; }
  std::shared_ptr<ChangeNews> news(std::uint64_t seq, const Fid& node) const {
    auto made = std::make_shared<ChangeNews>();
    made->volume = node.volume;
    made->commit.seq = common::Seq{seq};
    auto& outcome = made->commit.nodes.emplace_back();
    outcome.attributes.node = node.node;
    return made;
  }

  common::SystemClock clock;
  Outlet outlet;
  std::unique_ptr<PromiseKeeper> keeper;
};

constexpr Fid kNode{VolumeId{1}, NodeId{5}};
const Touched kTouched{kNode, fileserver::what::kBytes, true};

}  // namespace

TEST_CASE("what nobody holds is ready at once; what somebody holds, when he has given it up") {
  Keeper k;
  k.open(1);
  const auto waiter = std::make_shared<Waiter>();
  const auto first = k.keeper->new_change();
  CHECK(*k.keeper->begin_change(first, {}, std::span(&kTouched, 1), k.in(std::chrono::seconds(20)),
                                waiter) == PromiseKeeper::Progress::Ready);
  std::vector<Fid> unmarked;
  const Fid other{VolumeId{1}, NodeId{6}};
  const Fid both[] = {kNode, other};
  CHECK_OK(k.keeper->check_marks(first, {}, both, unmarked));
  CHECK(unmarked == std::vector<Fid>{other});
  CHECK_FALSE(k.grant(1, kNode));
  k.keeper->end_change(first, k.news(7, kNode));
  CHECK(k.grant(1, kNode));
  const auto second = k.keeper->new_change();
  CHECK(*k.keeper->begin_change(second, {}, std::span(&kTouched, 1), k.in(std::chrono::seconds(20)),
                                waiter) == PromiseKeeper::Progress::Waiting);
  CHECK(waiter->value() == 0);
  CHECK_OK(k.keeper->on_acknowledge(SessionId{1}, 1));
  CHECK(waiter->value() == 1);
  k.keeper->end_change(second, k.news(8, kNode));
  CHECK(k.outlet.said() == std::vector<std::string>{"break 1 to 1", "update 8 to 1"});
}

TEST_CASE("time alone settles a change: its deadline, and the end of a silent holder's lease") {
  Keeper k(std::chrono::milliseconds(300));
  k.open(1);
  REQUIRE(k.grant(1, kNode));
  const auto waiter = std::make_shared<Waiter>();
  const auto change = k.keeper->new_change();
  REQUIRE(*k.keeper->begin_change(change, {}, std::span(&kTouched, 1),
                                  k.in(test_support::kPatience),
                                  waiter) == PromiseKeeper::Progress::Waiting);
  CHECK(k.outlet.wait_for("over 1"));
  const auto deadline = k.in(test_support::kPatience);
  while (waiter->value() == 0 && k.clock.now() < deadline)
    std::this_thread::yield();
  CHECK(waiter->value() == 1);
  k.keeper->end_change(change, nullptr);
  CHECK_FAILS(k.keeper->check_session(SessionId{1}), ErrorCode::Stale);
  k.open(2);
  REQUIRE(k.grant(2, kNode));
  const auto late = std::make_shared<Waiter>();
  const auto next = k.keeper->new_change();
  const auto begun = k.keeper->begin_change(next, {}, std::span(&kTouched, 1),
                                            k.in(std::chrono::milliseconds(50)), late);
  REQUIRE_OK(begun);
  while (late->value() == 0 && k.clock.now() < deadline)
    std::this_thread::yield();
  CHECK(late->value() == 2);
}

TEST_CASE("who waits may go: nobody is told, and nothing is left") {
  Keeper k;
  k.open(1);
  REQUIRE(k.grant(1, kNode));
  auto waiter = std::make_shared<Waiter>();
  const auto change = k.keeper->new_change();
  REQUIRE_OK(k.keeper->begin_change(change, {}, std::span(&kTouched, 1),
                                    k.in(std::chrono::seconds(20)), waiter));
  waiter.reset();
  k.keeper->end_change(change, nullptr);
  CHECK_OK(k.keeper->on_acknowledge(SessionId{1}, 1));
  CHECK(k.keeper->counts().marked == 0);
}

TEST_CASE("a stream that owes an acknowledgement for too long is not begun") {
  Keeper k(std::chrono::milliseconds(600));
  k.open(1);
  REQUIRE(k.grant(1, kNode));
  const auto waiter = std::make_shared<Waiter>();
  const auto change = k.keeper->new_change();
  REQUIRE_OK(k.keeper->begin_change(change, {}, std::span(&kTouched, 1),
                                    k.in(test_support::kPatience), waiter));
  k.keeper->stream_down(SessionId{1});
  // Within a third of the lease it comes back, and hears of the break again.
  CHECK_OK(k.keeper->stream_up(SessionId{1}));
  k.keeper->stream_down(SessionId{1});
  const auto overdue = k.in(std::chrono::milliseconds(250));
  while (k.clock.now() < overdue)
    std::this_thread::yield();
  CHECK_FAILS(k.keeper->stream_up(SessionId{1}), ErrorCode::Stale);
  k.keeper->end_change(change, nullptr);
  const auto said = k.outlet.said();
  CHECK(std::count(said.begin(), said.end(), "break 1 to 1") == 2);
}

TEST_CASE("messages to a session leave in order, whoever sends them") {
  Keeper k;
  constexpr std::uint64_t kSessions = 8;
  for (std::uint64_t id = 1; id <= kSessions; ++id)
    k.open(id);
  constexpr int kRounds = 200;
  const auto work = [&](std::uint64_t thread) {
    const Fid node{VolumeId{1}, NodeId{100 + thread}};
    const Touched touched{node, fileserver::what::kBytes, true};
    for (int i = 0; i < kRounds; ++i) {
      for (std::uint64_t id = 1; id <= kSessions; ++id)
        static_cast<void>(k.grant(id, node));
      const auto change = k.keeper->new_change();
      const auto waiter = std::make_shared<Waiter>();
      const auto begun = k.keeper->begin_change(change, {}, std::span(&touched, 1),
                                                k.in(test_support::kPatience), waiter);
      if (!begun)
        continue;
      // All breaks so far are acknowledged: more than enough.
      for (std::uint64_t id = 1; id <= kSessions; ++id) {
        for (std::uint64_t number = 1; k.keeper->on_acknowledge(SessionId{id}, number); ++number) {
        }
      }
      k.keeper->end_change(change, k.news(1, node));
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread)
    threads.emplace_back(work, thread);
  for (auto& thread : threads)
    thread.join();
  std::map<std::string, int> last;
  for (const std::string& text : k.outlet.said()) {
    int number = 0;
    int session = 0;
    if (std::sscanf(text.c_str(), "break %d to %d", &number, &session) != 2)
      continue;
    int& before = last[std::to_string(session)];
    CHECK(number > before);
    before = number;
  }
  CHECK(last.size() == kSessions);
  CHECK(k.keeper->counts().marked == 0);
}
