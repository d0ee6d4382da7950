#include "tests/support/promises/sim_scenario.hpp"

#include <memory>
#include <optional>
#include <vector>

#include "common/sim/world.hpp"
#include "tests/support/promises/sim_judge.hpp"
#include "tests/support/promises/sim_mount.hpp"
#include "tests/support/promises/sim_server.hpp"

namespace promise_sim {
namespace {

using namespace common::sim;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The margin is a fifth of the lease: clocks may run apart by 9 % in all. Half of that is claimed.
constexpr std::int32_t kMaxDriftPpm = 40'000;
// When probes begin after the healing: sessions have come back, grace and leases are over, users of
// before have lost patience.
constexpr Duration kProbesAfter = seconds(75);

// No network keeps a message for minutes.
constexpr Duration kLongestLag = seconds(30);

class PromiseScenario final : public Scenario<SimMessage> {
 public:
  PromiseScenario(const Plan& plan, std::uint64_t bugs)
      : mounts_(static_cast<std::uint32_t>(plan.nodes.size() - kFirstMount)),
        disks_(plan.nodes.size()),
        processes_(plan.nodes.size()) {
    settings_.lease = milliseconds(plan.setting("lease-ms"));
    settings_.later_lease = milliseconds(plan.setting("later-lease-ms"));
    settings_.deadline = milliseconds(plan.setting("deadline-ms"));
    auto& core = settings_.core;
    core.promises_per_session = static_cast<std::size_t>(plan.setting("promises-per-session"));
    core.promises = static_cast<std::size_t>(plan.setting("promises"));
    core.unacknowledged_nodes = static_cast<std::size_t>(plan.setting("unacknowledged"));
    core.nodes_under_way = static_cast<std::size_t>(plan.setting("under-way"));
    core.stamps = static_cast<std::size_t>(plan.setting("stamps"));
    core.hash_seed = plan.seed;
    core.bugs = BugSet<fileserver::PromiseBug>::from_mask(
        bugs & ((std::uint64_t{1} << fileserver::kPromiseBugs) - 1));
    settings_.book.nodes = static_cast<std::size_t>(plan.setting("book-nodes"));
    settings_.book.bugs =
        BugSet<common::fileclient::BookBug>::from_mask(bugs >> fileserver::kPromiseBugs);
    for (const auto& item : plan.work)
      probes_ += item.b == kProbe || item.b == kFlushFirst ? 1 : 0;
  }

  void begin(Observer observer) override {
    observer_.emplace(observer);
    judge_.begin(observer, mounts_,
                 [this](NodeIndex mount, std::uint32_t nodes, const Newest& newest) {
                   const MountProcess* process = processes_[mount];
                   return process != nullptr
                              ? process->would_answer(nodes, newest, observer_->boot_now(mount))
                              : std::nullopt;
                 });
  }

  std::unique_ptr<Process<SimMessage>> boot(NodeIndex node, Env<SimMessage>& env) override {
    Settings settings = settings_;
    settings.core.buggify = env.buggify_points();
    settings.book.buggify = env.buggify_points();
    if (node == kServer) {
      auto server = std::make_unique<ServerProcess>(env, server_disk_, judge_, settings);
      server_ = server.get();
      return server;
    }
    auto mount = std::make_unique<MountProcess>(env, disks_[node], judge_, settings);
    processes_[node] = mount.get();
    return mount;
  }

  void died(NodeIndex node) override {
    if (node == kServer)
      server_ = nullptr;
    processes_[node] = nullptr;
  }

  void after_step(NodeIndex node) override {
    if (node != kServer)
      judge_.trusts(node);
  }

  bool settled() override {
    std::size_t done = 0;
    for (NodeIndex mount = kFirstMount; mount < processes_.size(); ++mount) {
      if (processes_[mount] == nullptr || !processes_[mount]->idle())
        return false;
      done += processes_[mount]->probes_done();
    }
    return done == probes_ && server_ != nullptr && server_->at_rest(mounts_);
  }

 private:
  Settings settings_;
  std::uint32_t mounts_;
  Judge judge_;
  std::optional<Observer> observer_;
  ServerDisk server_disk_;
  std::vector<MountDisk> disks_;
  std::vector<MountProcess*> processes_;  // by node; null: dead, or the server
  ServerProcess* server_ = nullptr;
  std::size_t probes_ = 0;
};

FaultMix promise_faults() {
  using enum FaultKind;
  FaultMix mix;
  mix.every = seconds(5);
  mix.longest = seconds(150);  // a server stopped for minutes
  mix.max_drift_ppm = kMaxDriftPpm;
  mix.choices = {{Split, 3},
                 {Isolate, 5},
                 {OneWayOut, 4},
                 {OneWayIn, 4},
                 {Ring, 1},
                 {PartialMesh, 2},
                 {CutLink, 4},
                 {Lossy, 2},
                 {Laggy, 4},
                 {Pause, 4, kFirstMount},
                 {Suspend, 3, kFirstMount},
                 {SlowNode, 2},
                 {Kill, 2, kFirstMount},
                 {PowerCut, 2, kFirstMount},
                 {KillAtEffect, 2, kFirstMount},
                 {WallJump, 1},
                 {Drift, 2},
                 {Pause, 2, kServer, kServer},
                 {Kill, 4, kServer, kServer},
                 {PowerCut, 2, kServer, kServer},
                 {KillAtEffect, 4, kServer, kServer}};
  return mix;
}

void add_work(Plan& plan, Random work, std::uint32_t mounts) {
  const auto add = [&](Duration at, NodeIndex node, OpKind kind, std::uint32_t file,
                       std::uint64_t wish) {
    plan.work.push_back(
        {.at = at, .node = node, .kind = static_cast<std::uint32_t>(kind), .a = file, .b = wish});
  };
  const auto some_mount = [&] { return kFirstMount + static_cast<NodeIndex>(work.below(mounts)); };
  const auto some_file = [&] {
    // Half of all goes to one file.
    return work.below(2) == 0 ? 0 : static_cast<std::uint32_t>(work.below(kShared));
  };
  const Duration every = milliseconds(120);
  for (Duration at = milliseconds(500); at < plan.length;
       at += work.between(Duration{0}, every * 2)) {
    const std::uint64_t what = work.below(20);
    if (what < 9) {
      add(at, some_mount(), OpKind::Read, some_file(), kOrdinary);
    } else if (what < 14) {
      add(at, some_mount(), OpKind::Stat, some_file(), kOrdinary);
    } else if (what < 18) {
      add(at, some_mount(), OpKind::Write, some_file(), kOrdinary);
    } else {
      add(at, some_mount(), OpKind::Replace,
          kFiles + static_cast<std::uint32_t>(work.below(kDirectories)), kOrdinary);
    }
  }
  // A copied cache directory: two that say they are one mount. They take turns; one gives up.
  if (work.below(8) == 0) {
    add(work.between(Duration{0}, plan.length / 2), kFirstMount + 2, OpKind::Read, kFirstMount + 1,
        kCopiedDisk);
    // A stopped process takes what has waited in any order: so after all are running.
    add(plan.length + seconds(1), kFirstMount + 2, OpKind::Read, 0, kOwnDisk);
  }
  if (work.below(4) == 0)
    add(work.between(Duration{0}, plan.length), kServer, OpKind::Write, 0, kOrdinary);

  // Each mount's own file, twice: the second time it holds what it changes.
  Duration at = plan.length + kProbesAfter;
  for (NodeIndex mount = kFirstMount; mount < kFirstMount + mounts; ++mount) {
    add(at, mount, OpKind::Write, private_file(mount), kProbe);
    add(at + milliseconds(500), mount, OpKind::Write, private_file(mount), kProbe);
    at += seconds(1);
  }
  // Two create in one directory at a time; then two let their own changes go first.
  const NodeIndex a = kFirstMount, b = kFirstMount + 1;
  for (const NodeIndex mount : {a, b}) {
    add(at, mount, OpKind::Read, kFiles, kProbe);
    add(at + seconds(1), mount, OpKind::Write, kFiles, kProbe);
    add(at + seconds(2), mount, OpKind::Read, 0, kProbe);
    add(at + seconds(2), mount, OpKind::Read, 1, kProbe);
    add(at + seconds(3), mount, OpKind::Write, mount == a ? 0 : 1, kFlushFirst);
  }
  at += seconds(5);
  for (NodeIndex mount = kFirstMount; mount < kFirstMount + mounts; ++mount) {
    add(at, mount, OpKind::Read, 2, kProbe);
    add(at + seconds(1), mount, OpKind::Write, 2, kProbe);
    add(at + seconds(2), mount, OpKind::Stat, 2, kProbe);
  }
}

Plan promises_plan(std::uint64_t seed) {
  Random random(mix(seed, hash_text("promises")));
  Plan plan;
  plan.seed = seed;
  plan.length = seconds(40);
  plan.settle_within = kProbesAfter + seconds(120);
  const auto mounts = static_cast<std::uint32_t>(random.between(std::int64_t{5}, std::int64_t{6}));
  plan.nodes = make_nodes(random.fork("nodes"), kFirstMount + mounts, kMaxDriftPpm);
  plan.noise = make_noise(random.fork("noise"));
  const std::int64_t lease = skew(plan, "lease-ms", 10'000, {1'000, 3'000, 30'000});
  skew(plan, "later-lease-ms", lease, {1'000, 3'000, 10'000});
  skew(plan, "deadline-ms", 30'000, {1'000, 4'000, 90'000});
  skew(plan, "promises-per-session", 1'000, {2, 4});
  skew(plan, "promises", 10'000, {8, 16});
  skew(plan, "unacknowledged", 10'000, {2, 4});
  skew(plan, "under-way", 3'000, {1, 2});
  skew(plan, "stamps", 4'096, {4'096, 32'768});
  skew(plan, "book-nodes", 1'000, {8, 12});
  plan.faults =
      make_faults(random.fork("faults"), promise_faults(), kFirstMount + mounts, plan.length);
  for (Fault& fault : plan.faults) {
    if (fault.kind == FaultKind::Laggy)
      fault.value %= kLongestLag.count();
  }
  add_work(plan, random.fork("work"), mounts);
  return plan;
}

RunReport run_promises(const Plan& plan, const RunOptions& options) {
  PromiseScenario scenario(plan, options.bugs);
  World<SimMessage> world(plan, scenario, options);
  return world.run();
}

}  // namespace

Experiment promises_experiment() {
  std::vector<std::string> bugs = fileserver::promise_bug_names();
  for (auto& name : common::fileclient::book_bug_names())
    bugs.push_back("book-" + name);
  return Experiment{
      .name = "promises", .plan = promises_plan, .run = run_promises, .bugs = std::move(bugs)};
}

}  // namespace promise_sim
