// A file server that is killed under thousands of mounts, and started again: they all come back at
// once. TROTH_TEST_HERD says how many there are.

#include "tests/scenario/file/herd.hpp"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <future>

#include "common/crypto/random.hpp"
#include "common/daemon/descriptor_limit.hpp"
#include "common/fileclient/session/mount_session.hpp"
#include "common/fileclient/session/session_caller.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using nlohmann::json;
using test_support::FileCell;
using test_support::FileMount;
namespace fileclient = common::fileclient;

namespace {

constexpr std::size_t kDefaultMounts = 300;
// Sessions that a host may have are 1,024.
constexpr std::size_t kMountsOfHost = 1'000;
constexpr std::size_t kNodes = 20;
constexpr std::size_t kRealMounts = 4;
// As long as may be: nobody's is over before all are back, however slow the machine is.
constexpr auto kLease = 60'000ms;
// Only a failing test waits so long.
constexpr auto kHerdPatience = 240s;
// By how much the server's memory may grow: for each mount, and by what a sanitizer keeps of what
// was freed. Without one it is some 20 KiB of each.
constexpr std::size_t kBytesOfMount = 96 * 1024;
constexpr std::size_t kBytesKept = 384U << 20U;

std::size_t mounts_wanted() {
  const char* const wanted = std::getenv("TROTH_TEST_HERD");
  return wanted == nullptr ? kDefaultMounts : std::strtoull(wanted, nullptr, 10);
}

// The most that the process has had in memory.
std::size_t most_bytes(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  constexpr std::string_view kMost = "VmHWM:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kMost))
      return std::strtoull(line.c_str() + kMost.size(), nullptr, 10) * 1024;
  }
  return 0;
}

// What the product makes of it: among the herd, with its own patience and its own dice.
class RealMount final : public fileclient::SessionListener {
 public:
  explicit RealMount(const test_support::FileServerAddress& address) {
    fileclient::MountSessionOptions options;
    options.name = "fileserver1";
    options.connection.host = address.host;
    options.connection.port = address.port;
    options.connection.cell_id = address.cell;
    options.connection.role = "fileserver";
    options.connection.tls = address.tls;
    options.service = address.service;
    options.opener = address.source;
    REQUIRE_OK(common::crypto::random_bytes(options.mount));
    options.mount[0] &= std::byte{0x7F};
    auto started = fileclient::MountSession::start(std::move(options), *this, clock_);
    REQUIRE_OK(started);
    session_ = *std::move(started);
  }
  void withdraw(fileclient::MountSession& session, fileclient::Withdrawal id,
                std::span<const fileclient::BrokenNode>) override {
    ++withdrawals_;
    session.withdrawn(id);
  }
  void withdraw_all(fileclient::MountSession& session, fileclient::Withdrawal id) override {
    session.withdrawn(id);
  }
  void begun(fileclient::MountSession&, const fileclient::SessionBegun& begun) override {
    begun_.lock()->push_back(begun);
  }

  [[nodiscard]] std::vector<fileclient::SessionBegun> begun() { return *begun_.lock(); }
  [[nodiscard]] std::size_t withdrawals() const { return withdrawals_; }
  // Asks, until the answer is a promise.
  [[nodiscard]] bool hold(common::Fid node) {
    const auto asked =
        session_->ask(*session_->opener(), common::fileproto::GetattrArgs{{}, {node}});
    if (!asked || !asked->result.nodes.at(0))
      return false;
    session_->learn(asked->call, asked->result.state, node.volume, *asked->result.nodes.at(0));
    return session_->promised(node);
  }
  [[nodiscard]] bool revalidate() {
    return session_->revalidate(*session_->opener(), {}, [](common::Fid, const auto*) {})
        .has_value();
  }
  [[nodiscard]] bool holds(common::Fid node) const { return session_->promised(node); }

 private:
  common::SystemClock clock_;
  common::Locked<std::vector<fileclient::SessionBegun>> begun_;
  std::atomic<std::size_t> withdrawals_{0};
  std::unique_ptr<fileclient::MountSession> session_;
};

template <typename Condition>
bool within_patience(const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + kHerdPatience;
  common::Mutex mutex;
  common::CondVar nobody;
  const common::MutexLock lock(mutex);
  while (!condition() && std::chrono::steady_clock::now() < limit)
    nobody.wait_for(mutex, 10ms);
  return condition();
}

std::string text_of(const herd::HerdCounts& counts) {
  std::string text = fmt::format(
      "{} promised, {} asked for their sessions, {} have them, {} calls refused for want of room, "
      "{} broken, {} updated",
      counts.promised, counts.resumes_begun, counts.resumed, counts.refused, counts.broken,
      counts.updated);
  for (const std::string& failure : counts.failures)
    text += "\n" + failure;
  return text;
}

// Nothing has failed, and everybody has got there.
template <typename Field>
void require_all(herd::Herd& herd, Field field, std::size_t wanted) {
  static_cast<void>(within_patience([&] {
    const auto counts = herd.counts();
    return counts.*field >= wanted || !counts.failures.empty();
  }));
  const auto counts = herd.counts();
  INFO(text_of(counts));
  REQUIRE(counts.failures.empty());
  REQUIRE(counts.*field == wanted);
}

json make_file(FileMount& mount, const FileCell& cell, const std::string& name) {
  const auto made = mount.change("create", {{"dir", cell.root()}, {"name", name}, {"mode", 0666}});
  REQUIRE_OK(made);
  return {cell.volume(), (*made)["done"][0]["node"]};
}

common::Fid fid_of(const json& fid) {
  return {common::VolumeId{fid[0].get<std::uint32_t>()},
          common::NodeId{fid[1].get<std::uint64_t>()}};
}

auto chmod_in_background(FileMount& mount, const json& file) {
  return std::async(std::launch::async, [&mount, file] {
    test_support::ChangeCall how;
    how.deadline = kHerdPatience;
    return mount.change("setattr", {{"fid", file}, {"mode", 0600}}, how);
  });
}

}  // namespace

TEST_CASE(
    "F30: a herd of mounts comes back after a crash: none is lost, and no change goes first") {
  const std::size_t mounts = mounts_wanted();
  static_cast<void>(common::daemon::raise_descriptor_limit(3 * mounts + 512));
  FileCell cell(
      {.lease = kLease,
       .environment = {{"TROTH_LIMITS_CONNECTIONS_PER_ADDRESS", std::to_string(mounts + 200)}}});
  const auto writer = cell.mount();
  const json early = make_file(*writer, cell, "early");
  herd::HerdOptions options;
  for (std::size_t i = 0; i < kNodes; ++i)
    options.nodes.push_back(fid_of(make_file(*writer, cell, fmt::format("file{}", i))));
  const json hot{cell.volume(), options.nodes.front().node.value};
  for (std::size_t i = 0; i * kMountsOfHost < mounts; ++i)
    options.openers.push_back(cell.add_host(fmt::format("host/desk{}", i)));
  options.mounts = mounts;
  const std::size_t before = most_bytes(cell.cell().process("fileserver").pid());
  auto started = herd::Herd::start(std::move(options));
  REQUIRE_OK(started);
  herd::Herd& herd = **started;
  std::vector<std::unique_ptr<RealMount>> real;
  for (std::size_t i = 0; i < kRealMounts; ++i) {
    real.push_back(std::make_unique<RealMount>(cell.address()));
    REQUIRE(within_patience([&] { return real.back()->hold(fid_of(hot)); }));
  }
  require_all(herd, &herd::HerdCounts::promised, mounts);

  herd.hold_back(1);
  cell.restart();
  REQUIRE_OK(writer->resume());
  REQUIRE_OK(writer->dial());
  auto change = chmod_in_background(*writer, early);
  require_all(herd, &herd::HerdCounts::held_back, 1);
  require_all(herd, &herd::HerdCounts::resumed, mounts - 1);
  require_all(herd, &herd::HerdCounts::promised, mounts - 1);
  CHECK(herd.counts().resumes_begun == mounts - 1);
  for (const auto& mount : real) {
    REQUIRE(within_patience([&] { return mount->begun().size() > 1; }));
    CHECK(mount->begun().size() == 2);
    CHECK(mount->begun()[1].resumed);
    REQUIRE(within_patience([&] { return mount->revalidate() && mount->holds(fid_of(hot)); }));
  }
  // Everybody reads, and one has not said that it trusts nothing any more: nothing may change.
  FileMount other(cell.address());
  const auto read = other.call("getattr", {{"fids", json::array({early})}});
  REQUIRE_OK(read);
  CHECK((*read)["nodes"][0]["m"] == 0666);
  CHECK(change.wait_for(0s) != std::future_status::ready);
  test_support::ChangeCall impatient;
  impatient.deadline = 1'000ms;
  FileMount second(cell.address());
  REQUIRE_OK(second.open());
  const auto refused = second.change("setattr", {{"fid", hot}, {"mode", 0600}}, impatient);
  CHECK_FAILS(refused, common::ErrorCode::Unavailable);
  CHECK(refused.error().retry_after.count() > 0);
  CHECK(herd.counts().broken == 0);

  herd.let_go();
  CHECK_OK(change.get());
  CHECK(herd.counts().resumes_begun == mounts);
  require_all(herd, &herd::HerdCounts::promised, mounts);
  // Each holds all that it held, each is asked before the next change, and told after it.
  auto next = chmod_in_background(*writer, hot);
  CHECK_OK(next.get());
  require_all(herd, &herd::HerdCounts::broken, mounts);
  require_all(herd, &herd::HerdCounts::updated, mounts);
  for (const auto& mount : real)
    CHECK(mount->withdrawals() == 1);
  const auto counts = herd.counts();
  CHECK(counts.resumed == mounts);
  CHECK(counts.again == 0);
  CHECK(counts.refused_without_time == 0);
  const std::size_t most = most_bytes(cell.cell().process("fileserver").pid());
  MESSAGE(text_of(counts), ", server's memory ", most >> 20U, " MiB at most, ", before >> 20U,
          " without them");
  CHECK(before > 0);
  CHECK(most > 0);
  CHECK(most < before + kBytesKept + mounts * kBytesOfMount);
}
