#include "tests/soak/promises/client.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <random>
#include <sstream>

#include "common/wire/hex.hpp"
#include "tests/soak/promises/caching_mount.hpp"
#include "tests/soak/promises/field.hpp"
#include "tests/soak/promises/wall_clock.hpp"
#include "tests/support/history/content.hpp"
#include "tests/support/history/record.hpp"

namespace promises_real {

using namespace std::chrono_literals;
using common::ErrorCode;
using history::Kind;
using history::Outcome;
using history::Phase;
using history::Record;

namespace {

// In each mount; the last of them only reads, and does not wait for long: who is cut off answers
// from memory as long as he may.
constexpr unsigned kWorkers = 3;
constexpr auto kImpatience = 300ms;
// A change waits for a silent holder or a restart; reads only as long as a user would.
constexpr auto kChangePatience = 45s;
constexpr auto kReadPatience = 10s;
// For what is under way at the end.
constexpr auto kEnding = 5s;
// Names that one worker keeps in a directory.
constexpr std::size_t kNames = 6;
// Between two operations, at random: so that memory's answers do not leave the machine to nobody
// else.
constexpr unsigned kMostPauseMs = 24;

std::atomic<bool> g_stop{false};
void on_terminate(int) {
  g_stop = true;
}

struct Own {
  std::string name;
  std::uint64_t node = 0;
  bool directory = false;
};

// What all workers of a client share.
struct Shared {
  const ClientOptions& options;
  const Field& field;
  CachingMount& mount;
  history::Writer& history;
  const MountPlants& plants;
  std::atomic<std::uint64_t> ops{0};
  std::atomic<std::uint64_t> handles{0};
};

class Worker {
 public:
  Worker(Shared& shared, std::uint64_t seed, bool only_reads)
      : shared_(shared), only_reads_(only_reads), random_(seed) {}

  void run() {
    while (!g_stop) {
      one_operation();
      pause();
    }
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  template <typename T>
  const T& any_of(const std::vector<T>& all) {
    return all[below(all.size())];
  }
  // Every other time the same, so that many meet there.
  std::uint64_t any_register(const std::vector<std::uint64_t>& all) {
    return below(2) == 0 ? all.front() : any_of(all);
  }
  [[nodiscard]] common::Duration read_patience() const {
    return only_reads_ ? common::Duration(kImpatience) : kReadPatience;
  }
  const Field::Volume& any_volume() { return any_of(shared_.field.volumes); }
  static Fid fid_of(const Field::Volume& volume, std::uint64_t node) {
    return {common::VolumeId{volume.volume}, common::NodeId{node}};
  }
  void pause() {
    const common::MutexLock lock(pause_mutex_);
    pause_.wait_for(pause_mutex_, std::chrono::milliseconds(below(kMostPauseMs)));
  }

  void one_operation();
  void read_times();
  void write_times();
  void read_file();
  void store_file();
  void append();
  void read_log();
  void make_name();
  void change_name();
  void look();
  void list();

  // --- the history ---
  Record begin(Kind kind, Fid object) {
    Record record;
    record.kind = kind;
    record.client = shared_.options.client;
    record.op = ++shared_.ops;
    record.object = object_of(object);
    return record;
  }
  void say(Record& record, Phase phase) {
    record.phase = phase;
    shared_.history.write(record);
  }
  void fail(Record& record, const common::Error& error, Outcome outcome) {
    record.outcome = outcome;
    record.text = one_line(error);
    say(record, Phase::Return);
  }
  static std::string one_line(const common::Error& error) {
    std::string text = fmt::format("{}: {}", to_string(error.code), error.message);
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }
  void complain(const Record& record, std::string text) {
    Record torn = record;
    torn.phase = Phase::Return;
    torn.kind = Kind::Torn;
    torn.text = std::move(text);
    shared_.history.write(torn);
  }
  // Unique among all values of the run; below 2^63.
  std::uint64_t value_of(const Record& record) const {
    constexpr unsigned kOpBits = 32;
    return (shared_.options.client << kOpBits) | record.op;
  }
  // Enters what came of a change; false: nothing that could be used.
  bool changed(Record& record, const Changed& change);
  static const common::fileproto::Attributes* node_in(const Changed& change, Fid fid);

  Shared& shared_;
  const bool only_reads_;
  std::mt19937_64 random_;
  common::SystemClock clock_;
  common::Mutex pause_mutex_;
  common::CondVar pause_;
  std::map<Fid, std::deque<Own>> names_;
  std::uint64_t next_name_ = 0;
};

// What a refusal cannot mean here: each of these names is one worker's alone, and nothing is
// removed but by him. If an earlier attempt's outcome was unknown, then it was executed, and the
// repetition did not know.
bool contradicts(Kind kind, ErrorCode code) {
  return (kind == Kind::Create && code == ErrorCode::AlreadyExists) ||
         (kind == Kind::Rename && code == ErrorCode::AlreadyExists) ||
         ((kind == Kind::Rename || kind == Kind::Remove) && code == ErrorCode::NotFound);
}

bool Worker::changed(Record& record, const Changed& change) {
  switch (change.how) {
    case Changed::How::Done:
      record.outcome = Outcome::Done;
      return true;
    case Changed::How::Refused:
    case Changed::How::Unknown:
      if (contradicts(record.kind, change.error.code))
        complain(record, "executed twice: " + one_line(change.error));
      fail(record, change.error,
           change.how == Changed::How::Refused ? Outcome::Refused : Outcome::Unknown);
      return false;
  }
  return false;
}

const common::fileproto::Attributes* Worker::node_in(const Changed& change, Fid fid) {
  for (const auto& touched : change.result.nodes) {
    if (touched.node.node == fid.node)
      return &touched.node;
  }
  return nullptr;
}

void Worker::one_operation() {
  using Operation = void (Worker::*)();
  struct Weighted {
    unsigned weight;
    Operation operation;
    bool contents;
    bool reads;
  };
  const auto skipped = [this](const Weighted& one) {
    return (one.contents && !shared_.field.contents) || (only_reads_ && !one.reads);
  };
  static constexpr std::array<Weighted, 10> kAll{{{24, &Worker::read_times, false, true},
                                                  {6, &Worker::write_times, false, false},
                                                  {24, &Worker::read_file, true, true},
                                                  {6, &Worker::store_file, true, false},
                                                  {8, &Worker::append, true, false},
                                                  {6, &Worker::read_log, true, true},
                                                  {5, &Worker::make_name, false, false},
                                                  {6, &Worker::change_name, false, false},
                                                  {12, &Worker::look, false, true},
                                                  {5, &Worker::list, false, true}}};
  unsigned all = 0;
  for (const Weighted& one : kAll)
    all += skipped(one) ? 0 : one.weight;
  std::uint64_t chosen = below(all);
  for (const Weighted& one : kAll) {
    if (skipped(one))
      continue;
    if (chosen < one.weight)
      return (this->*one.operation)();
    chosen -= one.weight;
  }
}

// --- registers ---

void Worker::read_times() {
  const Field::Volume& volume = any_volume();
  const Fid fid = fid_of(volume, any_register(volume.attributes));
  Record record = begin(Kind::Read, fid);
  say(record, Phase::Invoke);
  auto node = shared_.mount.cached_attributes(fid);
  if (!node) {
    const auto asked = shared_.mount.attributes(fid, clock_.now() + read_patience());
    if (!asked)
      return fail(record, asked.error(), Outcome::Refused);
    node = *asked;
  }
  record.value = static_cast<std::uint64_t>(node->mtime);
  record.version = node->version.value;
  say(record, Phase::Return);
}

void Worker::write_times() {
  const Field::Volume& volume = any_volume();
  const Fid fid = fid_of(volume, any_register(volume.attributes));
  Record record = begin(Kind::Write, fid);
  record.value = value_of(record);
  say(record, Phase::Invoke);
  common::fileproto::Setattr setattr;
  setattr.fid = fid;
  setattr.mtime = common::fileproto::SetTime{static_cast<std::int64_t>(record.value)};
  const Changed change = shared_.mount.change(setattr, {fid}, clock_.now() + kChangePatience);
  if (!changed(record, change))
    return;
  if (const auto* const node = node_in(change, fid))
    record.version = node->version.value;
  say(record, Phase::Return);
}

void Worker::read_file() {
  const Field::Volume& volume = any_volume();
  const Fid fid = fid_of(volume, any_register(volume.files));
  Record record = begin(Kind::Read, fid);
  say(record, Phase::Invoke);
  auto bytes = shared_.mount.cached_bytes(fid);
  if (!bytes) {
    const std::uint64_t handle = below(4) == 0 ? ++shared_.handles : 0;
    auto asked = shared_.mount.bytes(fid, handle, clock_.now() + read_patience());
    if (!asked) {
      if (asked.error().code == ErrorCode::Corrupt)
        complain(record, asked.error().message);
      return fail(record, asked.error(), Outcome::Refused);
    }
    bytes = *std::move(asked);
  }
  const auto value = history::parse_whole(bytes->bytes);
  if (!value) {
    complain(record, fmt::format("{} bytes of version {} are nobody's", bytes->bytes.size(),
                                 bytes->node.data_version.value));
    return fail(record, {ErrorCode::Corrupt, "torn"}, Outcome::Refused);
  }
  record.value = *value;
  record.version = bytes->node.data_version.value;
  say(record, Phase::Return);
}

void Worker::store_file() {
  const Field::Volume& volume = any_volume();
  const Fid fid = fid_of(volume, any_register(volume.files));
  Record record = begin(Kind::Write, fid);
  record.value = value_of(record);
  say(record, Phase::Invoke);
  // Most are small; some are of several blocks.
  const std::size_t length =
      history::kLeastRecord + (below(8) == 0 ? below(400'000) : below(6'000));
  const std::string bytes = history::make_record(record.value, length);
  common::fileproto::Store store;
  store.fid = fid;
  store.size = bytes.size();
  store.edits = {{0, bytes.size(), 0}};
  if (shared_.plants.split_stores) {
    common::fileproto::Store half = store;
    half.edits = {{0, bytes.size() / 2, 0}};
    static_cast<void>(shared_.mount.change(half, {fid}, clock_.now() + kChangePatience,
                                           common::as_bytes(bytes).first(bytes.size() / 2)));
  }
  const Changed change =
      shared_.mount.change(store, {fid}, clock_.now() + kChangePatience, common::as_bytes(bytes));
  if (!changed(record, change))
    return;
  if (const auto* const node = node_in(change, fid))
    record.version = node->data_version.value;
  say(record, Phase::Return);
}

// --- appended records ---

void Worker::append() {
  const Field::Volume& volume = any_volume();
  const auto generation =
      static_cast<std::size_t>((clock_.now().time_since_epoch().count() - shared_.field.began) /
                               shared_.field.generation_ns);
  const Fid fid = fid_of(volume, any_of(volume.logs[std::min(generation, volume.logs.size() - 1)]));
  Record record = begin(Kind::Append, fid);
  record.value = value_of(record);
  const std::string bytes = history::make_record(record.value, history::kLeastRecord + below(400));
  record.length = bytes.size();
  say(record, Phase::Invoke);
  common::fileproto::Append append;
  append.fid = fid;
  append.bytes = bytes.size();
  if (shared_.plants.drop_appends && below(8) == 0) {
    record.outcome = Outcome::Done;
    return say(record, Phase::Return);
  }
  const Changed change =
      shared_.mount.change(append, {fid}, clock_.now() + kChangePatience, common::as_bytes(bytes));
  if (!changed(record, change))
    return;
  if (const auto* const node = node_in(change, fid))
    record.version = node->data_version.value;
  if (!change.result.outcomes.empty())
    record.offset = change.result.outcomes.front().offset.value_or(0);
  say(record, Phase::Return);
}

void Worker::read_log() {
  const Field::Volume& volume = any_volume();
  const auto generation =
      static_cast<std::size_t>((clock_.now().time_since_epoch().count() - shared_.field.began) /
                               shared_.field.generation_ns);
  const Fid fid = fid_of(volume, any_of(volume.logs[std::min(generation, volume.logs.size() - 1)]));
  Record record = begin(Kind::Log, fid);
  say(record, Phase::Invoke);
  auto bytes = shared_.mount.cached_bytes(fid);
  if (!bytes) {
    auto asked = shared_.mount.bytes(fid, 0, clock_.now() + read_patience());
    if (!asked)
      return fail(record, asked.error(), Outcome::Refused);
    bytes = *std::move(asked);
  }
  if (const auto torn = history::first_torn(bytes->bytes); torn != std::string::npos)
    complain(record, fmt::format("a log of {} bytes is torn at {}", bytes->bytes.size(), torn));
  record.version = bytes->node.data_version.value;
  record.length = bytes->bytes.size();
  record.digest = history::digest_of(bytes->bytes);
  say(record, Phase::Return);
}

// --- names ---

void Worker::make_name() {
  const Field::Volume& volume = any_volume();
  const Fid directory = fid_of(volume, any_of(volume.directories));
  auto& mine = names_[directory];
  if (mine.size() >= kNames)
    return change_name();
  Record record = begin(Kind::Create, directory);
  record.name = fmt::format("c{}-{}", shared_.options.client, record.op);
  say(record, Phase::Invoke);
  common::fileproto::NewNode made;
  made.dir = directory;
  made.name = record.name;
  made.mode = 0644;
  const common::Instant deadline = clock_.now() + kChangePatience;
  Changed change;
  const std::uint64_t what = below(3);
  switch (what) {
    case 0: {
      common::fileproto::Mkdir mkdir;
      mkdir.made = made;
      change = shared_.mount.change(mkdir, {directory}, deadline);
      break;
    }
    case 1: {
      common::fileproto::Symlink symlink;
      symlink.made = made;
      symlink.target = "somewhere";
      change = shared_.mount.change(symlink, {directory}, deadline);
      break;
    }
    default: {
      common::fileproto::Create create;
      create.made = made;
      change = shared_.mount.change(create, {directory}, deadline);
    }
  }
  if (!changed(record, change))
    return;
  if (!change.result.outcomes.empty() && change.result.outcomes.front().created)
    record.node = change.result.outcomes.front().created->value;
  say(record, Phase::Return);
  mine.push_back({record.name, record.node, what == 0});
}

// Renames or removes the oldest of its names.
void Worker::change_name() {
  for (auto& [directory, mine] : names_) {
    if (mine.size() < 2 || below(2) == 0)
      continue;
    Own own = mine.front();
    mine.pop_front();
    const bool rename = below(2) == 0;
    Record record = begin(rename ? Kind::Rename : Kind::Remove, directory);
    record.name = own.name;
    record.node = own.node;
    if (rename)
      record.to = fmt::format("c{}-{}", shared_.options.client, record.op);
    say(record, Phase::Invoke);
    const common::Instant deadline = clock_.now() + kChangePatience;
    const Fid node{directory.volume, common::NodeId{own.node}};
    Changed change;
    if (rename) {
      common::fileproto::Rename call;
      call.dir = directory;
      call.name = own.name;
      call.to = directory;
      call.to_name = record.to;
      change = shared_.mount.change(call, {directory, node}, deadline);
    } else if (own.directory) {
      common::fileproto::Rmdir call;
      call.dir = directory;
      call.name = own.name;
      change = shared_.mount.change(call, {directory, node}, deadline);
    } else {
      common::fileproto::Unlink call;
      call.dir = directory;
      call.name = own.name;
      change = shared_.mount.change(call, {directory, node}, deadline);
    }
    // A name of unknown fate is never used again.
    if (!changed(record, change))
      return;
    say(record, Phase::Return);
    if (rename)
      mine.push_back({record.to, own.node, own.directory});
    return;
  }
}

void Worker::look() {
  const Field::Volume& volume = any_volume();
  const Fid directory = fid_of(volume, any_of(volume.directories));
  Record record = begin(Kind::Look, directory);
  // One that was there a moment ago, or one of its own, or of somebody else that is to come.
  const auto known = shared_.mount.cached_names(directory);
  if (known && !known->entries.empty() && below(4) != 0) {
    auto entry = known->entries.begin();
    std::advance(entry, static_cast<std::ptrdiff_t>(below(known->entries.size())));
    record.name = entry->first;
  } else if (const auto& mine = names_[directory]; !mine.empty() && below(2) == 0) {
    record.name = mine[below(mine.size())].name;
  } else {
    record.name =
        fmt::format("c{}-{}", 1 + below(shared_.options.client + 1), shared_.ops + below(200));
  }
  say(record, Phase::Invoke);
  auto node = shared_.mount.cached_name(directory, record.name);
  if (!node) {
    const auto asked = shared_.mount.name(directory, record.name, clock_.now() + read_patience());
    if (!asked)
      return fail(record, asked.error(), Outcome::Refused);
    node = *asked;
  }
  record.node = *node;
  say(record, Phase::Return);
}

void Worker::list() {
  const Field::Volume& volume = any_volume();
  const Fid directory = fid_of(volume, any_of(volume.directories));
  Record record = begin(Kind::List, directory);
  say(record, Phase::Invoke);
  auto names = shared_.mount.cached_names(directory);
  if (!names) {
    auto asked = shared_.mount.names(directory, clock_.now() + read_patience());
    if (!asked)
      return fail(record, asked.error(), Outcome::Refused);
    names = *std::move(asked);
  }
  for (const auto& [name, node] : names->entries)
    record.entries.push_back({name, node});
  say(record, Phase::Return);
}

MountPlants plants_of(const std::string& name) {
  MountPlants plants;
  plants.keep_cache = name == "keep-cache";
  plants.new_ids = name == "new-ids";
  plants.acknowledge_first = name == "acknowledge-first";
  plants.keep_over_restart = name == "keep-over-restart";
  plants.split_stores = name == "split-stores";
  plants.drop_appends = name == "drop-appends";
  const auto books = common::fileclient::book_bug_names();
  for (std::size_t i = 0; i < books.size(); ++i) {
    if (name == books[i])
      plants.book = common::sim::BugSet<common::fileclient::BookBug>::only(
          static_cast<common::fileclient::BookBug>(i));
  }
  return plants;
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "client: %s\n", why.c_str());
  std::exit(3);
}

template <typename T>
T take(common::Result<T> result) {
  if (!result)
    give_up(result.error().message);
  return *std::move(result);
}

std::string read_whole(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::vector<std::string> client_plants() {
  std::vector<std::string> names{"keep-cache",        "new-ids",      "acknowledge-first",
                                 "keep-over-restart", "split-stores", "drop-appends"};
  for (std::string& name : common::fileclient::book_bug_names())
    names.push_back(std::move(name));
  return names;
}

std::vector<std::string> to_arguments(const ClientOptions& options) {
  return {"--client",
          options.field,
          options.history,
          std::to_string(options.client),
          std::to_string(options.seed),
          options.mount,
          std::to_string(options.first_number),
          options.wall,
          options.plant.empty() ? "none" : options.plant};
}

int client_main(const std::vector<std::string>& arguments) {
  constexpr std::size_t kArguments = 9;
  if (arguments.size() != kArguments)
    give_up("wrong arguments");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action {};
  action.sa_handler = on_terminate;
  ::sigaction(SIGTERM, &action, nullptr);
  ClientOptions options;
  options.field = arguments[1];
  options.history = arguments[2];
  options.client = std::stoull(arguments[3]);
  options.seed = std::stoull(arguments[4]);
  options.mount = arguments[5];
  options.first_number = std::stoull(arguments[6]);
  options.wall = arguments[7];
  options.plant = arguments[8];
  follow_wall_clock(options.wall);
  const Field field = take(Field::from_text(read_whole(options.field)));
  const auto history = take(history::Writer::open(options.history));
  history->write({});  // it lives
  MountOptions how;
  how.server = take(field.server());
  const auto id = take(common::wire::from_hex(options.mount));
  std::copy_n(id.begin(), std::min(id.size(), how.id.size()), how.id.begin());
  how.first_number = options.first_number;
  const MountPlants plants = plants_of(options.plant);
  how.plants = plants;
  const auto mount = take(CachingMount::start(std::move(how)));
  Shared shared{options, field, *mount, *history, plants};
  std::vector<std::thread> workers;
  std::atomic<unsigned> working{kWorkers};
  for (unsigned i = 0; i < kWorkers; ++i)
    workers.emplace_back([&, i] {
      Worker(shared, options.seed * kWorkers + i, i + 1 == kWorkers).run();
      --working;
    });
  // Who has nothing to say for long would keep everybody waiting.
  common::Mutex mutex;
  common::CondVar nobody;
  while (!g_stop) {
    const common::MutexLock lock(mutex);
    nobody.wait_for(mutex, 100ms);
    history->write({});
  }
  // What is under way may end by itself for a while, and is of unknown outcome then.
  const common::SystemClock clock;
  const common::Instant end = clock.now() + kEnding;
  while (working > 0 && clock.now() < end) {
    const common::MutexLock lock(mutex);
    nobody.wait_for(mutex, 20ms);
  }
  mount->end_calls();
  for (std::thread& worker : workers)
    worker.join();
  return 0;
}

}  // namespace promises_real
