#include "tests/support/store_round.hpp"

#include <filesystem>
#include <thread>

namespace test_support {

using common::fail;
using common::Result;
using common::Status;
using common::sim::Random;
using store::Volume;
using store::VolumeOptions;

void RoundCounts::add(const RoundCounts& other) {
  sequences += other.sequences;
  commits += other.commits;
  refused += other.refused;
  replays += other.replays;
  compared += other.compared;
  compared_past += other.compared_past;
  digests += other.digests;
  rollbacks += other.rollbacks;
  reopened += other.reopened;
}

void RoundCounts::add(const DriverCounts& other) {
  commits += other.commits;
  refused += other.refused;
  replays += other.replays;
  compared += other.compared;
  compared_past += other.compared_past;
}

namespace {

constexpr common::VolumeId kOriginal{7};
constexpr int kThreads = 3;
constexpr auto kPatience = std::chrono::seconds(60);

// A volume, a copy of it that redoes its records, and the model.
class Round {
 public:
  Round(const RoundOptions& options, RoundCounts& counts)
      : options_(options), random_(options.seed), counts_(counts) {}

  Status run() {
    TROTH_TRY_VOID(begin());
    TROTH_TRY_VOID(options_.crowd.value_or(random_.below(3) == 0) ? crowd() : alone());
    TROTH_TRY_VOID(scrub(*volume_));
    TROTH_TRY_VOID(volume_->close());
    return copy_->close();
  }

 private:
  Status begin();
  Status alone();
  Status crowd();
  Status sequence(StoreDriver& driver, Random& random) const;
  Status between(StoreDriver& driver);
  Status upkeep();
  Status bring_copy();
  Status compare_copy();
  Status reopen(StoreDriver& driver);
  Status roll_back(StoreDriver& driver);
  static Status scrub(Volume& volume);
  Result<std::unique_ptr<StoreModel>> model_of_directory(const std::string& name, NodeId& top);

  const RoundOptions options_;
  Random random_;
  RoundCounts& counts_;
  ScriptedClock clock_;
  common::crypto::Secret key_;
  store::WorkPool pool_{1};
  VolumeOptions volume_options_;
  std::unique_ptr<Volume> volume_;
  std::unique_ptr<Volume> copy_;
  Seq copied_;
  std::unique_ptr<StoreModel> model_;
  std::uint64_t largest_ = 10'000;
};

Status Round::begin() {
  // Small limits, so that what is rare in a large volume is frequent here.
  volume_options_.segment_bytes = 1 << 20;
  volume_options_.reserve_ahead = 64 + random_.below(200);
  volume_options_.checkpoint_pages = 100;
  volume_options_.wal_cap_pages = 2000;
  volume_options_.retention = {std::chrono::seconds(0), 30 + random_.below(200)};
  volume_options_.compress = random_.below(2) == 0;
  volume_options_.pool = random_.below(2) == 0 ? &pool_ : nullptr;
  volume_options_.readers = 4;
  // Most files of most people are small; hashing large ones takes the time of many commits.
  largest_ = random_.below(8) == 0 ? 300'000 : 10'000;
  if (random_.below(3) == 0) {
    key_ = common::crypto::Secret(32);
    for (std::byte& byte : key_.writable())
      byte = static_cast<std::byte>(random_.next());
    volume_options_.key = &key_;
  }
  const std::string original = options_.directory + "/original";
  const std::string copy = options_.directory + "/copy";
  std::filesystem::create_directory(original);
  std::filesystem::create_directory(copy);
  TROTH_TRY(volume_, Volume::create(original, kOriginal, volume_options_, clock_));
  VolumeOptions copy_options = volume_options_;
  // It keeps everything, so that both can be compared from wherever the original begins.
  copy_options.retention.keep_commits = 1'000'000;
  TROTH_TRY(copy_, Volume::create_copy(copy, kOriginal, volume_->uuid(), copy_options, clock_));
  TROTH_TRY(const store::Attributes root, volume_->attributes(store::kRootNode));
  model_ = std::make_unique<StoreModel>(root.version, root.mtime);
  return {};
}

Status Round::sequence(StoreDriver& driver, Random& random) const {
  const std::uint64_t steps = 4 + random.below(9);
  for (std::uint64_t i = 0; i < steps; ++i)
    TROTH_TRY_VOID(driver.step());
  TROTH_TRY_VOID(driver.compare_touched());
  if (random.below(6) == 0)
    TROTH_TRY_VOID(driver.compare_now());
  return random.below(6) == 0 ? driver.compare_past() : Status();
}

// Records must be fetched before they are forgotten.
Status Round::upkeep() {
  TROTH_TRY_VOID(bring_copy());
  for (int i = 0; i < 10'000; ++i) {
    TROTH_TRY(const bool more, volume_->maintain());
    if (!more)
      return {};
  }
  return fail(ErrorCode::Internal, "upkeep does not come to an end");
}

Status Round::bring_copy() {
  TROTH_TRY(copied_, redo_all(*volume_, *copy_, copied_));
  return {};
}

Status Round::compare_copy() {
  TROTH_TRY_VOID(bring_copy());
  TROTH_TRY(const auto status, volume_->status());
  const Seq from = status.floor;
  TROTH_TRY(const auto ours, volume_->digest(from));
  TROTH_TRY(const auto theirs, copy_->digest(from));
  if (ours != theirs)
    return fail(ErrorCode::Internal, "the digests of original and copy differ from {} to {}",
                from.value, volume_->last_seq().value);
  ++counts_.digests;
  CompareOptions options;
  options.skip_root = model_ == nullptr;
  return model_ == nullptr ? Status() : compare_state(*copy_, model_->present(), options);
}

Status Round::reopen(StoreDriver& driver) {
  TROTH_TRY_VOID(volume_->close());
  volume_.reset();
  TROTH_TRY(volume_, Volume::open(options_.directory + "/original", volume_options_, clock_));
  if (!volume_->report().clean || volume_->report().rolled_back != 0)
    return fail(ErrorCode::Internal, "a volume that was closed in order did not open so");
  driver.reopened(*volume_);
  ++counts_.reopened;
  return {};
}

Status Round::roll_back(StoreDriver& driver) {
  TROTH_TRY_VOID(driver.let_all_go());
  TROTH_TRY_VOID(upkeep());
  TROTH_TRY_VOID(driver.absorb());
  TROTH_TRY(const auto status, volume_->status());
  model_->forget_below(status.floor);
  std::vector<Seq> choices;
  for (const auto& [seq, state] : model_->history()) {
    if (seq >= status.floor)
      choices.push_back(seq);
  }
  if (choices.empty())
    return {};
  const Seq to = random_.pick(std::span<const Seq>(choices));
  const Seq last = volume_->last_seq();
  const common::Epoch epoch = volume_->epoch();
  TROTH_TRY_VOID(volume_->roll_back(to));
  model_->forget_above(to);
  if (volume_->epoch() <= epoch || volume_->last_seq() <= last)
    return fail(ErrorCode::Internal, "seqs or epochs are used again after a rollback");
  driver.rolled_back();
  ++counts_.rollbacks;
  return driver.compare_now();
}

Status Round::between(StoreDriver& driver) {
  switch (random_.below(60)) {
    case 0:
    case 1:
    case 2:
    case 3:
      TROTH_TRY_VOID(upkeep());
      TROTH_TRY_VOID(driver.absorb());
      return driver.compare_now();
    case 4:
      return reopen(driver);
    case 5:
    case 6:
      return bring_copy();
    case 7:
      return volume_->sync(clock_.now() + kPatience);
    default:
      return {};
  }
}

Status Round::alone() {
  DriverOptions options;
  options.seed = random_.next();
  options.clock = &clock_;
  options.largest = largest_;
  StoreDriver driver(*volume_, *model_, options);
  for (int i = 0; i < options_.sequences; ++i) {
    TROTH_TRY_VOID(sequence(driver, random_));
    ++counts_.sequences;
    TROTH_TRY_VOID(between(driver));
  }
  TROTH_TRY_VOID(compare_copy());
  if (random_.below(2) == 0) {
    TROTH_TRY_VOID(roll_back(driver));
    for (int i = 0; i < 5; ++i)
      TROTH_TRY_VOID(sequence(driver, random_));
    counts_.sequences += 5;
    TROTH_TRY_VOID(reopen(driver));
    TROTH_TRY_VOID(driver.compare_now());
  }
  counts_.add(driver.counts());
  return {};
}

Result<std::unique_ptr<StoreModel>> Round::model_of_directory(const std::string& name,
                                                              NodeId& top) {
  TROTH_TRY(const store::Attributes root, volume_->attributes(store::kRootNode));
  auto model = std::make_unique<StoreModel>(root.version, root.mtime);
  ModelStep step;
  store::Create create;
  create.parent = store::kRootNode;
  create.name = name;
  create.kind = store::NodeKind::Directory;
  step.operations = {create};
  store::CommitRequest request;
  request.operations = step.operations;
  TROTH_TRY(const auto reply, volume_->commit(request));
  top = reply.created.at(0);
  const auto outcome = model->apply(step, {reply.seq, reply.time, reply.created, {}});
  if (!outcome.refused.empty())
    return fail(ErrorCode::Internal, "the model refuses a directory");
  return model;
}

Status Round::crowd() {
  model_.reset();
  struct Member {
    std::unique_ptr<StoreModel> model;
    std::unique_ptr<StoreDriver> driver;
    Random random{0};
    Status status;
  };
  std::vector<Member> members(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    Member& member = members[static_cast<std::size_t>(i)];
    DriverOptions options;
    TROTH_TRY(member.model, model_of_directory("top" + std::to_string(i), options.top));
    options.seed = random_.next();
    options.session = 10 * static_cast<std::uint64_t>(i + 1);
    options.mount.bytes[0] = static_cast<std::byte>(i + 1);
    options.nodes = 16;
    options.largest = largest_;
    member.driver = std::make_unique<StoreDriver>(*volume_, *member.model, options);
    member.random = Random(random_.next());
  }
  constexpr int kAtOnce = 10;
  for (int done = 0; done < options_.sequences; done += kAtOnce * kThreads) {
    std::vector<std::thread> threads;
    for (Member& member : members) {
      threads.emplace_back([&] {
        for (int i = 0; i < kAtOnce && member.status; ++i)
          member.status = sequence(*member.driver, member.random);
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    std::uint64_t nodes = 1;
    std::uint64_t bytes = 0;
    clock_.set_wall(clock_.wall() + 1000);
    TROTH_TRY_VOID(upkeep());
    for (Member& member : members) {
      TROTH_TRY_VOID(member.status);
      counts_.sequences += kAtOnce;
      TROTH_TRY_VOID(member.driver->absorb());
      TROTH_TRY_VOID(member.driver->compare_now());
      nodes += member.model->present().nodes.size() - 1;
      bytes += member.model->present().allocated();
    }
    TROTH_TRY(const auto usage, volume_->usage());
    if (usage.nodes != nodes || usage.bytes != bytes)
      return fail(ErrorCode::Internal, "usage is {} nodes, {} bytes; should be {}, {}", usage.nodes,
                  usage.bytes, nodes, bytes);
  }
  for (Member& member : members)
    counts_.add(member.driver->counts());
  return compare_copy();
}

Status Round::scrub(Volume& volume) {
  for (int i = 0; i < 10'000; ++i) {
    TROTH_TRY(const bool ended, volume.scrub(1 << 20));
    if (!ended)
      continue;
    TROTH_TRY(const auto status, volume.status());
    if (status.quarantined != 0)
      return fail(ErrorCode::Internal, "{} blocks are in quarantine", status.quarantined);
    return {};
  }
  return fail(ErrorCode::Internal, "scrubbing does not come to an end");
}

}  // namespace

Status run_store_round(const RoundOptions& options, RoundCounts& counts) {
  return Round(options, counts).run();
}

}  // namespace test_support
