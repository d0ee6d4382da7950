#include "common/sim/example/lease_scenario.hpp"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "common/sim/example/lease_client.hpp"
#include "common/sim/example/lease_grantor.hpp"
#include "common/sim/example/lease_judge.hpp"
#include "common/sim/example/lease_store.hpp"
#include "common/sim/world.hpp"

namespace common::sim::example {
namespace {

using LeaseEnv = Env<LeaseMessage>;
using Kind = LeaseMessage::Kind;

constexpr TimerKey kOnlyTimer = 1;

// Writes a whole file so that after any crash it holds the old bytes or the new.
Status replace_file(SimDisk& disk, std::string_view path, std::span<const std::byte> bytes,
                    bool sync) {
  const std::string fresh = fmt::format("{}.new", path);
  TROTH_TRY(auto file, disk.open(fresh, {.create = true, .truncate = true}));
  auto status = disk.write(file, 0, bytes);
  if (status && sync)
    status = disk.sync(file);
  disk.close(file);
  TROTH_TRY_VOID(std::move(status));
  TROTH_TRY_VOID(disk.rename(fresh, path));
  return disk.sync_directory("");
}

Result<std::vector<std::byte>> read_file(SimDisk& disk, std::string_view path) {
  if (!disk.exists(path))
    return std::vector<std::byte>{};
  TROTH_TRY(auto file, disk.open(path, {}));
  TROTH_TRY(auto size, disk.size(file));
  std::vector<std::byte> bytes(size);
  auto got = disk.read(file, 0, bytes);
  disk.close(file);
  TROTH_TRY_VOID(std::move(got));
  return bytes;
}

class GrantorProcess final : public Process<LeaseMessage> {
 public:
  GrantorProcess(LeaseEnv& env, LeaseJudge& judge, const LeaseOptions& options)
      : env_(env), judge_(judge), bugs_(options.bugs), core_(options) {}

  void start() override {
    const auto bytes = read_file(env_.disk(), "grantor");
    if (!bytes)
      return env_.stop();
    LeaseGrantor::Stable stable;
    if (!bytes->empty() || env_.disk().exists("grantor")) {
      env_.check(
          bytes->size() == kBytes && checksum(std::span(*bytes).subspan(8)) == word(*bytes, 0),
          "the grantor cannot read its own state");
      if (bytes->size() != kBytes)
        return;
      stable.reserved = word(*bytes, 8);
      stable.longest_ttl = Duration{static_cast<std::int64_t>(word(*bytes, 16))};
    }
    run(LeaseGrantor::Started{stable});
  }
  void receive(NodeIndex from, const LeaseMessage& message) override {
    run(LeaseGrantor::Received{from, message});
  }
  void wake(TimerKey) override { run(LeaseGrantor::Woken{}); }

 private:
  static constexpr std::size_t kBytes = 24;  // checksum, reserved, longest ttl

  static std::uint64_t word(std::span<const std::byte> bytes, std::size_t at) {
    std::uint64_t value = 0;
    if (bytes.size() >= at + sizeof(value))
      std::memcpy(&value, bytes.data() + at, sizeof(value));
    return value;
  }

  Status persist(const LeaseGrantor::Stable& stable) {
    const std::uint64_t fields[2] = {stable.reserved,
                                     static_cast<std::uint64_t>(stable.longest_ttl.count())};
    std::vector<std::byte> bytes(kBytes);
    std::memcpy(bytes.data() + 8, fields, sizeof(fields));
    const std::uint64_t sum = checksum(std::span(bytes).subspan(8));
    std::memcpy(bytes.data(), &sum, sizeof(sum));
    return replace_file(env_.disk(), "grantor", bytes, !bugs_.has(LeaseBug::RenameWithoutSync));
  }

  // BOOTTIME, unless the bug is planted.
  [[nodiscard]] Instant now() const {
    return bugs_.has(LeaseBug::WallClockLease) ? Instant{env_.wall_now().time_since_epoch()}
                                               : env_.now();
  }

  void run(const LeaseGrantor::Event& event) {
    const Instant begun = now();
    effects_.clear();
    core_.on(event, begun, effects_);
    for (const auto& effect : effects_) {
      if (const auto* send = std::get_if<Send>(&effect)) {
        env_.send(send->to, send->message);
        if (send->message.kind == Kind::Granted && env_.alive())
          judge_.granted(send->to, send->message);
      } else if (const auto* wake = std::get_if<WakeAt>(&effect)) {
        env_.wake_at(kOnlyTimer, env_.now() + (wake->when - begun));
      } else if (!persist(std::get<LeaseGrantor::Persist>(effect).stable)) {
        return env_.stop();  // what is on the disk is unknown: start again from it
      }
    }
  }

  LeaseEnv& env_;
  LeaseJudge& judge_;
  BugSet<LeaseBug> bugs_;
  LeaseGrantor core_;
  LeaseGrantor::Effects effects_;
};

class StoreProcess final : public Process<LeaseMessage> {
 public:
  StoreProcess(LeaseEnv& env, LeaseJudge& judge, const LeaseOptions& options)
      : env_(env), judge_(judge), bugs_(options.bugs), core_(options) {}

  void start() override {
    if (!recover())
      env_.stop();
  }
  void receive(NodeIndex from, const LeaseMessage& message) override {
    run(LeaseStore::Received{from, message});
  }
  void wake(TimerKey) override {}

 private:
  // Reads the log up to its first torn record, and writes what was read anew. Reading alone proves
  // nothing: after a failed sync the page cache may show bytes that are not on the disk.
  Status recover() {
    SimDisk& disk = env_.disk();
    TROTH_TRY(auto bytes, read_file(disk, "log"));
    LeaseStore::Started started;
    std::size_t whole = 0;
    for (; whole + kRecordBytes <= bytes.size(); whole += kRecordBytes) {
      const auto record =
          decode_record(std::span(bytes).subspan(whole), !bugs_.has(LeaseBug::TornRecordTrusted));
      if (!record)
        break;
      started.log.push_back(*record);
    }
    if (!bugs_.has(LeaseBug::RecoverInPlace)) {
      TROTH_TRY_VOID(replace_file(disk, "log", std::span(bytes).first(whole), true));
    }
    TROTH_TRY(file_, disk.open("log", {.create = true}));
    if (bugs_.has(LeaseBug::RecoverInPlace))
      TROTH_TRY_VOID(disk.truncate(file_, whole));
    end_ = whole;
    if (env_.alive())
      judge_.recovered(started.log);
    run(started);
    return {};
  }

  Status append(const LeaseStore::Append& effect) {
    SimDisk& disk = env_.disk();
    TROTH_TRY_VOID(disk.write(file_, end_, encode(effect.record)));
    end_ += kRecordBytes;
    if (effect.lazily) {
      env_.sync_later(file_, 0);
      return {};
    }
    auto synced = disk.sync(file_);
    if (!synced && bugs_.has(LeaseBug::SyncErrorRetried))
      synced = disk.sync(file_);
    return synced;
  }

  void run(const LeaseStore::Event& event) {
    effects_.clear();
    core_.on(event, env_.now(), effects_);
    for (const auto& effect : effects_) {
      if (const auto* send = std::get_if<Send>(&effect)) {
        env_.send(send->to, send->message);
        if (env_.alive())
          judge_.told(send->message);
      } else if (const auto* applied = std::get_if<LeaseStore::Applied>(&effect)) {
        judge_.applied(*applied);
      } else if (!append(std::get<LeaseStore::Append>(effect))) {
        return env_.stop();
      }
    }
  }

  LeaseEnv& env_;
  LeaseJudge& judge_;
  BugSet<LeaseBug> bugs_;
  LeaseStore core_;
  LeaseStore::Effects effects_;
  SimDisk::File file_ = 0;
  std::uint64_t end_ = 0;
};

class ClientProcess final : public Process<LeaseMessage> {
 public:
  ClientProcess(LeaseEnv& env, LeaseJudge& judge, const LeaseOptions& options)
      : env_(env), judge_(judge), bugs_(options.bugs), core_(options, env.random().next()) {}

  void start() override {}
  void receive(NodeIndex from, const LeaseMessage& message) override {
    run(LeaseClient::Received{from, message});
  }
  void wake(TimerKey) override { run(LeaseClient::Woken{}); }
  void work(const WorkItem& item) override { run(LeaseClient::Wanted{item.a}); }

  [[nodiscard]] bool idle() const { return core_.idle(); }
  // Asked by the judge, at any time: would it act on the lock?
  [[nodiscard]] bool holds(const Observer& observer) const {
    const bool monotonic = bugs_.has(LeaseBug::MonotonicClock);
    return core_.holds(monotonic ? observer.monotonic_now(env_.self())
                                 : observer.boot_now(env_.self()));
  }

 private:
  [[nodiscard]] Instant now() const {
    return bugs_.has(LeaseBug::MonotonicClock) ? env_.monotonic_now() : env_.now();
  }

  void run(const LeaseClient::Event& event) {
    const Instant begun = now();
    effects_.clear();
    core_.on(event, begun, effects_);
    for (const auto& effect : effects_) {
      if (const auto* send = std::get_if<Send>(&effect)) {
        env_.send(send->to, send->message);
      } else if (const auto* wake = std::get_if<WakeAt>(&effect)) {
        env_.wake_at(kOnlyTimer, env_.now() + (wake->when - begun));
      } else if (env_.alive()) {
        judge_.acknowledged(std::get<LeaseClient::Acknowledged>(effect));
      }
    }
  }

  LeaseEnv& env_;
  LeaseJudge& judge_;
  BugSet<LeaseBug> bugs_;
  LeaseClient core_;
  LeaseClient::Effects effects_;
};

class LeaseScenario final : public Scenario<LeaseMessage> {
 public:
  LeaseScenario(const Plan& plan, std::uint64_t bugs) : clients_(plan.nodes.size()) {
    options_.ttl = std::chrono::milliseconds(plan.setting("ttl-ms"));
    options_.retry = std::chrono::milliseconds(plan.setting("retry-ms"));
    options_.token_chunk = static_cast<std::uint64_t>(plan.setting("token-chunk"));
    options_.bugs = BugSet<LeaseBug>::from_mask(bugs);
    for (const auto& item : plan.work) {
      if (item.at < plan.length)
        continue;
      probes_.push_back(item.a);
    }
  }

  void begin(Observer observer) override {
    observer_.emplace(observer);
    judge_.begin(observer);
  }

  std::unique_ptr<Process<LeaseMessage>> boot(NodeIndex node, LeaseEnv& env) override {
    LeaseOptions options = options_;
    options.buggify = env.buggify_points();
    if (node == kGrantor)
      return std::make_unique<GrantorProcess>(env, judge_, options);
    if (node == kStore)
      return std::make_unique<StoreProcess>(env, judge_, options);
    auto client = std::make_unique<ClientProcess>(env, judge_, options);
    clients_[node] = client.get();
    return client;
  }

  void died(NodeIndex node) override { clients_[node] = nullptr; }

  void after_step(NodeIndex node) override {
    if (node < kFirstClient)
      return;  // only a client's own step can make it believe
    if (!clients_[node]->holds(*observer_))
      return;
    holders_.clear();
    for (NodeIndex i = kFirstClient; i < clients_.size(); ++i) {
      if (clients_[i] != nullptr && clients_[i]->holds(*observer_))
        holders_.push_back(i);
    }
    judge_.believed(holders_);
  }

  // Every request made after the healing is done, and nobody waits for anything.
  bool settled() override {
    while (!probes_.empty() && judge_.is_acknowledged(probes_.back()))
      probes_.pop_back();
    if (!probes_.empty())
      return false;
    for (NodeIndex i = kFirstClient; i < clients_.size(); ++i) {
      if (clients_[i] == nullptr || !clients_[i]->idle())
        return false;
    }
    return true;
  }

 private:
  LeaseOptions options_;
  LeaseJudge judge_;
  std::optional<Observer> observer_;
  std::vector<ClientProcess*> clients_;  // by node; null: dead, or not a client
  std::vector<PeerId> holders_;
  std::vector<std::uint64_t> probes_;
};

FaultMix lease_faults() {
  using enum FaultKind;
  FaultMix mix;
  mix.every = std::chrono::seconds(3);
  mix.choices = {{Split, 3},
                 {Isolate, 4},
                 {OneWayOut, 3},
                 {OneWayIn, 3},
                 {Ring, 1},
                 {PartialMesh, 2},
                 {CutLink, 3},
                 {Lossy, 2},
                 {Laggy, 4},
                 {Pause, 5},
                 {Suspend, 3},
                 {SlowNode, 2},
                 {Kill, 3},
                 {PowerCut, 3},
                 {KillAtEffect, 4},
                 {PowerCutAtEffect, 4},
                 {WallJump, 2},
                 {Drift, 1},
                 {SyncErrorOnce, 4, 0, 1},
                 {WriteErrors, 1, 0, 1},
                 {ReadErrors, 1, 0, 1},
                 {DiskFull, 1, 0, 1},
                 {SlowDisk, 2, 0, 1},
                 // The servers are where deaths matter.
                 {Kill, 3, 0, 1},
                 {PowerCut, 4, 0, 1},
                 {PowerCutAtEffect, 8, 0, 1},
                 {Kill, 3, 1, 1},
                 {PowerCutAtEffect, 8, 1, 1}};
  return mix;
}

Plan lease_plan(std::uint64_t seed) {
  Random random(mix(seed, hash_text("lease")));
  Plan plan;
  plan.seed = seed;
  plan.length = std::chrono::seconds(60);
  // Hundreds of requests may have piled up, and with a retry longer than the lease (both skewed) a
  // waiting client's grant has often run out when it comes.
  plan.settle_within = std::chrono::seconds(900);
  const auto clients = static_cast<std::uint32_t>(random.between(std::int64_t{3}, std::int64_t{6}));
  plan.nodes =
      make_nodes(random.fork("nodes"), kFirstClient + clients, LeaseOptions{}.max_drift_ppm);
  plan.noise = make_noise(random.fork("noise"));
  skew(plan, "ttl-ms", 10'000, {1'000, 2'500, 30'000});
  skew(plan, "retry-ms", 700, {150, 2'500});
  skew(plan, "token-chunk", 32, {1, 2});
  FaultMix mix = lease_faults();
  mix.max_drift_ppm = LeaseOptions{}.max_drift_ppm;
  plan.faults = make_faults(random.fork("faults"), mix, kFirstClient + clients, plan.length);
  Random work = random.fork("work");
  std::uint64_t ticket = 0;
  const auto add = [&](Duration at, NodeIndex node) {
    plan.work.push_back(WorkItem{.at = at, .node = node, .a = ++ticket});
  };
  const Duration every = std::chrono::milliseconds(250);
  for (Duration at{}; at < plan.length; at += work.between(Duration{0}, every * 2)) {
    add(at, kFirstClient + static_cast<NodeIndex>(work.below(clients)));
  }
  // One request of each client once all is well: each must be done.
  for (std::uint32_t i = 0; i < clients; ++i)
    add(plan.length + std::chrono::seconds(2), kFirstClient + i);
  return plan;
}

RunReport run_lease(const Plan& plan, const RunOptions& options) {
  LeaseScenario scenario(plan, options.bugs);
  World<LeaseMessage> world(plan, scenario, options);
  return world.run();
}

}  // namespace

Experiment lease_experiment() {
  return Experiment{
      .name = "lease", .plan = lease_plan, .run = run_lease, .bugs = lease_bug_names()};
}

}  // namespace common::sim::example
