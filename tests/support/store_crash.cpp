// Long: first the words that workloads are made of, then how they run, then what is checked.

#include "tests/support/store_crash.hpp"

#include <filesystem>

namespace test_support {

using common::fail;
using common::Result;
using common::Status;
using store::NodeKind;
using store::Volume;

namespace {

constexpr common::VolumeId kVolume{9};
constexpr std::int64_t kWall = 1'700'000'000'000'000'000;
constexpr auto kLong = std::chrono::seconds(60);

Bytes bytes_of(std::size_t length, std::uint64_t seed) {
  common::sim::Random random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random.next());
  return bytes;
}

Bytes boot(bool second) {
  return Bytes(16, second ? std::byte{2} : std::byte{1});
}

// --- the words that workloads are made of ---

// The node at a path of names; one that does not exist if there is none.
NodeId at(const ModelState& state, std::initializer_list<const char*> path) {
  NodeId node = store::kRootNode;
  for (const char* const name : path) {
    const ModelNode* const child = state.child(node, name);
    if (child == nullptr)
      return NodeId{999'999};
    node = child->attributes.node;
  }
  return node;
}

ModelStep of(store::Operation operation) {
  ModelStep step;
  step.operations = {std::move(operation)};
  return step;
}

ModelStep creating(const ModelState& state, const char* name, NodeKind kind, std::size_t length) {
  store::Create create;
  create.parent = at(state, {"a"});
  create.name = name;
  create.kind = kind;
  create.mode = 0644;
  ModelStep step = of(create);
  if (length != 0)
    step.contents[0] = bytes_of(length, length);
  return step;
}

ModelStep writing(NodeId node, std::uint64_t offset, std::size_t length) {
  ModelStep step;
  step.content.emplace();
  step.content->node = node;
  step.content->pieces.push_back({offset, bytes_of(length, offset + length), 0});
  return step;
}

ModelStep sizing(NodeId node, std::uint64_t size) {
  ModelStep step;
  step.content.emplace();
  step.content->node = node;
  step.content->size = size;
  return step;
}

ModelStep appending(NodeId node, std::size_t length) {
  ModelStep step;
  step.content.emplace();
  step.content->kind = ModelContent::Kind::Append;
  step.content->node = node;
  step.content->bytes = bytes_of(length, 77 + length);
  return step;
}

ModelStep copying(NodeId from, NodeId to) {
  ModelStep step;
  step.content.emplace();
  step.content->kind = ModelContent::Kind::Copy;
  step.content->from = from;
  step.content->node = to;
  step.content->length = 140'000;
  return step;
}

ModelStep renaming(const ModelState& state, std::initializer_list<const char*> from,
                   const char* name, std::initializer_list<const char*> to, const char* new_name,
                   store::RenameMode mode) {
  return of(store::Rename{at(state, from), name, at(state, to), new_name, mode});
}

std::vector<CrashAction> make_actions() {
  using Kind = CrashAction::Kind;
  using S = const ModelState&;
  using store::RenameMode;
  std::vector<CrashAction> all;
  const auto commit = [&](const char* name, std::function<ModelStep(S)> step) {
    all.push_back({name, Kind::Commit, std::move(step)});
  };
  commit("create", [](S s) { return creating(s, "new", NodeKind::File, 0); });
  commit("store small", [](S s) { return creating(s, "small", NodeKind::File, 3000); });
  commit("store large", [](S s) { return creating(s, "large", NodeKind::File, 150'000); });
  commit("mkdir", [](S s) { return creating(s, "dir", NodeKind::Directory, 0); });
  commit("symlink", [](S s) { return creating(s, "link", NodeKind::Symlink, 40); });
  commit("overwrite small", [](S s) { return writing(at(s, {"a", "f"}), 100, 2000); });
  commit("overwrite large", [](S s) { return writing(at(s, {"a", "g"}), 130'000, 9000); });
  commit("append small", [](S s) { return appending(at(s, {"a", "f"}), 100); });
  commit("append large", [](S s) { return appending(at(s, {"a", "g"}), 100); });
  commit("truncate", [](S s) { return sizing(at(s, {"a", "g"}), 70'000); });
  commit("grow", [](S s) { return sizing(at(s, {"a", "f"}), 20'000); });
  commit("copy range", [](S s) { return copying(at(s, {"a", "g"}), at(s, {"b", "i"})); });
  commit("rename",
         [](S s) { return renaming(s, {"a"}, "f", {"b"}, "moved", RenameMode::NoReplace); });
  commit("rename over",
         [](S s) { return renaming(s, {"a"}, "g", {"b"}, "i", RenameMode::Replace); });
  commit("exchange", [](S s) { return renaming(s, {"a"}, "g", {"b"}, "e", RenameMode::Exchange); });
  commit("link", [](S s) { return of(store::Link{at(s, {"a", "f"}), at(s, {"b"}), "third"}); });
  commit("unlink", [](S s) { return of(store::Unlink{at(s, {"a"}), "g"}); });
  commit("unlink one of two", [](S s) { return of(store::Unlink{at(s, {"a"}), "f"}); });
  commit("rmdir", [](S s) { return of(store::RemoveDirectory{at(s, {"b"}), "e"}); });
  commit("attributes", [](S s) {
    store::SetAttributes set;
    set.node = at(s, {"a"});
    set.mode = 0700;
    return of(set);
  });
  commit("xattr", [](S s) { return of(store::SetXattr{at(s, {"a"}), "list", bytes_of(300, 5)}); });
  commit("snapshot", [](S) { return of(store::CreateSnapshot{"now", {}}); });
  commit("fence", [](S s) {
    return of(store::RaiseFence{at(s, {"a", "f"}), 0, 100, common::FencingToken{5}});
  });
  commit("many at once", [](S s) {
    ModelStep step = creating(s, "one", NodeKind::File, 200'000);
    store::Create second = std::get<store::Create>(step.operations[0]);
    second.name = "two";
    step.operations.push_back(second);
    step.contents[1] = bytes_of(2000, 2);
    step.operations.push_back(store::Unlink{at(s, {"b"}), "i"});
    return step;
  });
  all.push_back({"sync", Kind::Sync, {}});
  all.push_back({"upkeep", Kind::Upkeep, {}});
  all.push_back({"reopen", Kind::Reopen, {}});
  return all;
}

}  // namespace

const std::vector<CrashAction>& crash_actions() {
  static const std::vector<CrashAction> all = make_actions();
  return all;
}

std::string CrashWorkload::name() const {
  if (random_steps != 0)
    return std::to_string(random_steps) + " random steps of seed " + std::to_string(seed);
  std::string text;
  for (const CrashAction* const action : actions)
    text += (text.empty() ? "" : stable_between ? ", stable, then " : ", ") + action->name;
  return text;
}

std::size_t crash_workloads() {
  const std::size_t count = crash_actions().size();
  return count + 2 * count * count;
}

CrashWorkload crash_workload(std::size_t number) {
  const auto& actions = crash_actions();
  const std::size_t count = actions.size();
  CrashWorkload workload;
  if (number < count) {
    workload.actions = {&actions[number]};
    return workload;
  }
  number -= count;
  workload.stable_between = number >= count * count;
  number %= count * count;
  workload.actions = {&actions[number / count], &actions[number % count]};
  return workload;
}

store::VolumeOptions crash_options(bool machine_restarted) {
  store::VolumeOptions options;
  options.segment_bytes = 256 << 10;
  options.reserve_ahead = 32;
  options.checkpoint_pages = 30;
  options.wal_cap_pages = 400;
  options.readers = 2;
  options.retention = {std::chrono::seconds(0), 12};
  options.boot_id = boot(machine_restarted);
  // Flushed when asked for only, as far as a run is concerned: then it is the same every time.
  options.flush_interval = std::chrono::milliseconds(20);
  return options;
}

void copy_volume(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::create_directories(to + "/segments");
  for (const char* const part : {"", "/segments"}) {
    for (const auto& entry : std::filesystem::directory_iterator(from + part)) {
      if (entry.is_regular_file())
        std::filesystem::copy_file(entry.path(),
                                   to + part + "/" + entry.path().filename().string());
    }
  }
}

Result<CrashBase> make_crash_base(const std::string& directory) {
  std::filesystem::create_directories(directory);
  ScriptedClock clock;
  clock.set_wall(kWall);
  TROTH_TRY(auto volume, Volume::create(directory, kVolume, crash_options(false), clock));
  TROTH_TRY(const store::Attributes root, volume->attributes(store::kRootNode));
  auto model = std::make_shared<StoreModel>(root.version, root.mtime);
  DriverOptions options;
  options.clock = &clock;
  StoreDriver driver(*volume, *model, options);
  const auto make = [&](std::initializer_list<const char*> parent, const char* name, NodeKind kind,
                        std::size_t length) {
    store::Create create;
    create.parent = at(model->present(), parent);
    create.name = name;
    create.kind = kind;
    create.mode = 0755;
    ModelStep step = of(create);
    if (length != 0)
      step.contents[0] = bytes_of(length, length);
    return driver.perform(step);
  };
  TROTH_TRY_VOID(make({}, "a", NodeKind::Directory, 0));
  TROTH_TRY_VOID(make({}, "b", NodeKind::Directory, 0));
  TROTH_TRY_VOID(make({"a"}, "f", NodeKind::File, 3500));
  TROTH_TRY_VOID(make({"a"}, "g", NodeKind::File, 200'000));
  TROTH_TRY_VOID(make({"b"}, "i", NodeKind::File, 140'000));
  TROTH_TRY_VOID(make({"b"}, "e", NodeKind::Directory, 0));
  TROTH_TRY_VOID(make({"b"}, "s", NodeKind::Symlink, 20));
  const ModelState& state = model->present();
  TROTH_TRY_VOID(
      driver.perform(of(store::Link{at(state, {"a", "f"}), at(state, {"b"}), "second"})));
  TROTH_TRY_VOID(
      driver.perform(of(store::SetXattr{at(model->present(), {"a"}), "list", bytes_of(100, 3)})));
  // Something for upkeep to take away.
  TROTH_TRY_VOID(driver.perform(writing(at(model->present(), {"b", "i"}), 0, 140'000)));
  for (int i = 0; i < 3; ++i)
    TROTH_TRY_VOID(driver.perform(writing(at(model->present(), {"b", "i"}), 0, 90'000 + i)));
  TROTH_TRY_VOID(driver.compare_now());
  TROTH_TRY_VOID(volume->close());
  return CrashBase{directory, model, clock.wall()};
}

namespace {

// What a run does: the volume, its driver, and how they go on together.
class Runner {
 public:
  Runner(const CrashWorkload& workload, const CrashBase& base, const CrashRun& run,
         StoreModel& model)
      : workload_(workload), run_(run), model_(model) {
    clock_.set_wall(base.wall);
    model_.keep_all();  // the crash may come early
    options_ = crash_options(false);
    options_.probe = run.probe;
    options_.segment_io = run.io;
  }

  Status go() {
    TROTH_TRY(volume_, Volume::open(run_.directory, options_, clock_));
    DriverOptions options;
    options.clock = &clock_;
    options.seed = workload_.seed;
    options.nodes = 20;
    options.largest = 150'000;
    StoreDriver driver(*volume_, model_, options);
    if (run_.opened)
      run_.opened();
    tell();
    TROTH_TRY_VOID(workload_.random_steps != 0 ? random(driver) : fixed(driver));
    return run_.close ? volume_->close() : Status();
  }

 private:
  void tell() {
    if (run_.told)
      run_.told(model_.last(), std::min(volume_->stable_seq(), model_.last()));
  }
  Status fixed(StoreDriver& driver) {
    for (std::size_t i = 0; i < workload_.actions.size(); ++i) {
      if (i != 0 && workload_.stable_between) {
        TROTH_TRY_VOID(volume_->sync(clock_.now() + kLong));
        tell();
      }
      TROTH_TRY_VOID(perform(driver, *workload_.actions[i]));
      tell();
    }
    return {};
  }
  Status random(StoreDriver& driver) {
    common::sim::Random choices(workload_.seed + 1);
    for (std::uint64_t i = 0; i < workload_.random_steps; ++i) {
      const std::uint64_t choice = choices.below(40);
      if (choice < 4)
        TROTH_TRY_VOID(volume_->sync(clock_.now() + kLong));
      else if (choice == 4)
        TROTH_TRY_VOID(upkeep(driver));
      else
        TROTH_TRY_VOID(driver.step());
      tell();
    }
    return {};
  }
  Status perform(StoreDriver& driver, const CrashAction& action) {
    switch (action.kind) {
      case CrashAction::Kind::Sync:
        return volume_->sync(clock_.now() + kLong);
      case CrashAction::Kind::Upkeep:
        return upkeep(driver);
      case CrashAction::Kind::Reopen:
        return reopen(driver);
      case CrashAction::Kind::Commit:
        break;
    }
    return driver.perform(action.step(model_.present()));
  }
  Status reopen(StoreDriver& driver) {
    TROTH_TRY_VOID(volume_->close());
    volume_.reset();
    TROTH_TRY(volume_, Volume::open(run_.directory, options_, clock_));
    driver.reopened(*volume_);
    return {};
  }
  Status upkeep(StoreDriver& driver) {
    for (int i = 0; i < 2000; ++i) {
      TROTH_TRY(const bool more, volume_->maintain());
      if (!more)
        return driver.absorb();
    }
    return fail(ErrorCode::Internal, "upkeep does not come to an end");
  }

  const CrashWorkload& workload_;
  const CrashRun& run_;
  StoreModel& model_;
  ScriptedClock clock_;
  store::VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
};

// The newest commit of the reference that is there; all before it must be, too.
Result<Seq> newest_survivor(Volume& volume, Seq floor, const StoreModel& reference) {
  std::set<Seq> there;
  Seq after = floor;
  for (;;) {
    TROTH_TRY(const auto records, volume.changes_since(after, 500));
    if (records.empty())
      break;
    for (const store::CommitRecord& record : records) {
      // What recovery committed is of a later epoch, and may have seqs that were never reached.
      if (record.epoch == common::Epoch{1})
        there.insert(record.seq);
      after = record.seq;
    }
  }
  Seq newest;
  bool missing = false;
  for (const auto& [seq, state] : reference.history()) {
    if (seq > floor && !there.contains(seq)) {
      missing = true;
    } else if (missing) {
      return fail(ErrorCode::Internal, "commit {} is there, an earlier one is not", seq.value);
    } else {
      newest = seq;
    }
  }
  return newest;
}

Status check_new_ids(const StoreModel& reference, Seq given, StoreDriver& driver,
                     StoreModel& model) {
  store::Create create;
  create.parent = store::kRootNode;
  create.name = "after the crash";
  TROTH_TRY_VOID(driver.perform(of(create)));
  const NodeId made = model.present().child(store::kRootNode, create.name)->attributes.node;
  for (const auto& [seq, state] : reference.history()) {
    if (seq <= given && state->find(made) != nullptr)
      return fail(ErrorCode::Internal, "node id {} is given again", made.value);
  }
  if (model.last() <= given)
    return fail(ErrorCode::Internal, "seq {} is given again", model.last().value);
  return {};
}

Status check_content(Volume& volume, StoreModel& model, Seq floor, std::uint64_t seed) {
  // What is stored is read by the scrub in any case; the rest of what follows is looked at in
  // turns, so that there is time for more crashes.
  CompareOptions options;
  options.through_lookup = seed % 4 == 0;
  TROTH_TRY_VOID(compare_state(volume, model.present(), options));
  std::vector<Seq> past;
  for (const auto& [seq, state] : model.history()) {
    if (seq >= floor && seed / 4 % 3 == 0)
      past.push_back(seq);
  }
  if (!past.empty()) {
    options.at = past[seed % past.size()];
    TROTH_TRY_VOID(compare_state(volume, *model.at(*options.at), options));
  }
  for (int i = 0; i < 1000; ++i) {
    TROTH_TRY(const bool ended, volume.scrub(1 << 20));
    if (ended)
      break;
  }
  TROTH_TRY(const auto status, volume.status());
  if (status.quarantined != 0)
    return fail(ErrorCode::Internal, "{} blocks are damaged", status.quarantined);
  return volume.health();
}

}  // namespace

Status run_workload(const CrashWorkload& workload, const CrashBase& base, const CrashRun& run,
                    StoreModel& model) {
  return Runner(workload, base, run, model).go();
}

Result<StoreVerdict> check_after_crash(const CrashCheck& check, const StoreModel& reference) {
  ScriptedClock clock;
  clock.set_wall(kWall + 10'000'000);
  TROTH_TRY(auto volume,
            Volume::open(check.directory, crash_options(check.machine_restarted), clock));
  StoreVerdict verdict;
  verdict.rolled_back = volume->report().rolled_back;
  TROTH_TRY(const auto status, volume->status());
  TROTH_TRY(verdict.survived, newest_survivor(*volume, status.floor, reference));
  // The newest that must be there; other seqs are of commits that the volume made by itself.
  auto newest = reference.history().upper_bound(check.at_least);
  const Seq must = newest == reference.history().begin() ? Seq{} : std::prev(newest)->first;
  if (verdict.survived < must)
    return fail(ErrorCode::Internal, "commit {} is lost: the newest is {}, {} rolled back",
                must.value, verdict.survived.value, verdict.rolled_back);
  StoreModel model = reference;
  model.forget_above(verdict.survived);
  TROTH_TRY_VOID(check_content(*volume, model, status.floor, check.seed));
  DriverOptions options;
  options.seed = check.seed;
  options.clock = &clock;
  options.mount.bytes[0] = std::byte{0xEE};
  options.fences = false;  // those of lost commits may be there or not
  options.largest = 150'000;
  StoreDriver driver(*volume, model, options);
  TROTH_TRY_VOID(driver.let_all_go());
  TROTH_TRY_VOID(check_new_ids(reference, check.given, driver, model));
  for (int i = 0; i < check.more; ++i)
    TROTH_TRY_VOID(driver.step());
  TROTH_TRY_VOID(driver.compare_now());
  TROTH_TRY_VOID(volume->close());
  return verdict;
}

}  // namespace test_support
