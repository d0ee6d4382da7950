#include "tests/soak/promises/run.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>
#include <random>

#include <nlohmann/json.hpp>

#include "common/cell/description.hpp"
#include "common/sync/event.hpp"
#include "fileserver/promises/promise_core.hpp"
#include "tests/soak/promises/caching_mount.hpp"
#include "tests/soak/promises/client.hpp"
#include "tests/soak/promises/field.hpp"
#include "tests/soak/promises/held_network.hpp"
#include "tests/soak/promises/wall_clock.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/history/checker.hpp"
#include "tests/support/history/content.hpp"

namespace promises_real {

using namespace std::chrono_literals;
using common::Duration;
using history::Fault;
using nlohmann::json;
using test_support::Process;

namespace {

constexpr std::size_t kClients = 5;
constexpr std::size_t kServerNode = 0;
// The server's own, on top of each lease (PROTOCOL.md 1).
constexpr auto kMargin = 2s;
constexpr std::size_t kAttributes = 4;
constexpr std::size_t kFiles = 6;
constexpr std::size_t kDirectories = 2;
constexpr std::size_t kLogs = 2;
// When everything is healed: the longest that an operation may take by its own patience, and then
// some for a loaded machine.
constexpr auto kAtMostToEnd = 90s;
constexpr auto kBetweenLooks = 100ms;
constexpr std::uint64_t kDoneAtFirst = 100;
// Answers of the server before the first that is lost, and then from one to the next.
constexpr std::size_t kAnswersAtFirst = 200;
constexpr std::size_t kAnswersPerLost = 31;

enum class Kind : std::uint8_t {
  KillClient,
  KillServer,
  StopClient,
  StopClientLong,
  StopServer,
  StopServerLong,
  Partition,
  PartitionToServer,
  PartitionToClient,
  SlowLink,
  WallClock,
  KillServerCutOff,
};
constexpr std::array<const char*, 12> kKindNames{"kill_client",         "kill_server",
                                                 "stop_client",         "stop_client_over_lease",
                                                 "stop_server",         "stop_server_over_lease",
                                                 "partition",           "partition_to_server",
                                                 "partition_to_client", "slow_link",
                                                 "wall_clock",          "kill_server_cut_off"};

template <typename T>
T take(common::Result<T> result, std::string_view what) {
  if (!result)
    throw std::runtime_error(fmt::format("{}: {}", what, result.error().message));
  return *std::move(result);
}
void check(const common::Status& status, std::string_view what) {
  if (!status)
    throw std::runtime_error(fmt::format("{}: {}", what, status.error().message));
}

class Run {
 public:
  Run(const RunOptions& options, std::string scratch)
      : options_(options),
        scratch_(std::move(scratch)),
        random_(options.seed),
        lease_(options.brief ? 1000ms : 2000ms),
        network_(take(HeldNetwork::create(1 + kClients), "making a network")) {}

  int go();

 private:
  struct Client {
    std::uint64_t number = 0;  // of the process that is there now
    std::string mount;
    std::optional<Process> process;
    bool busy = false;  // something befalls it
    bool stopped = false;
  };
  struct Healing {
    common::Instant at;
    std::function<void()> heal;
  };

  // --- the beginning ---
  [[nodiscard]] std::string server_failpoints() const;
  [[nodiscard]] std::size_t generations() const;
  void start_cell();
  void make_files();
  Field::Volume make_volume(test_support::FileMount& mount, std::uint32_t volume, bool stable);
  void start_client(std::size_t slot, bool same_mount);

  // --- faults ---
  void next_fault();
  bool begin(Kind kind);
  bool befall_client(Kind kind);
  bool befall_server(Kind kind);
  bool kill_while_cut_off();
  void partition(Kind kind, std::size_t slot);
  void heal_after(Duration delay, std::function<void()> heal);
  void heal_due(bool all);
  [[nodiscard]] Duration between(Duration least, Duration most);
  [[nodiscard]] std::optional<std::size_t> idle_client();

  // --- watching, and the end ---
  void watch();
  void end_clients();
  void read_last();
  void read_last(CachingMount& mount, const Field::Volume& volume);
  void violation(std::string text);
  [[nodiscard]] int report();
  [[nodiscard]] std::string file_of(std::string_view what, std::uint64_t number) const {
    return fmt::format("{}/{}-{}", scratch_, what, number);
  }

  const RunOptions options_;
  const std::string scratch_;
  std::mt19937_64 random_;
  const std::chrono::milliseconds lease_;
  common::SystemClock clock_;
  HeldNetwork network_;
  std::unique_ptr<test_support::FileCell> cell_;
  Field field_;
  std::array<Client, kClients> clients_;
  std::uint64_t client_numbers_ = 0;
  history::Checker checker_;
  std::vector<Kind> deck_;
  std::vector<Healing> healings_;
  bool server_busy_ = false;
  bool server_stopped_ = false;
  std::array<std::uint64_t, kKindNames.size()> faults_{};
  std::vector<std::string> violations_;
  std::uint64_t most_waiting_ = 0;
};

// --- the beginning ---

// Always: now and then the connection ends between what was done and its answer. Not while the
// files are made.
std::string Run::server_failpoints() const {
  std::string all = fmt::format("rpc.answer.before=error(unavailable)@{}*{}",
                                kAnswersAtFirst + 8 * generations(), kAnswersPerLost);
  if (options_.plant == "forget-ids")
    all += ";changes.key.remembered=error(internal)";
  const auto names = fileserver::promise_bug_names();
  if (std::find(names.begin(), names.end(), options_.plant) != names.end())
    all += fmt::format(";promises.bug.{}=error(internal)", options_.plant);
  return all;
}

std::size_t Run::generations() const {
  return static_cast<std::size_t>(std::chrono::seconds(options_.seconds) /
                                  std::chrono::nanoseconds(field_.generation_ns)) +
         1;
}

void Run::start_cell() {
  test_support::FileCellOptions how;
  how.lease = lease_;
  how.fileserver_failpoints = server_failpoints();
  how.address = HeldNetwork::address_of(kServerNode);
  how.network_namespace = network_.path_of(kServerNode);
  cell_ = std::make_unique<test_support::FileCell>(how);
  const auto description =
      take(common::cell::load_description(cell_->cell().directory().string()), "reading cell.toml");
  field_.address = how.address;
  field_.cell = description.id;
  field_.ca = description.ca;
  field_.credentials = file_of("credentials", 0);
}

Field::Volume Run::make_volume(test_support::FileMount& mount, std::uint32_t volume, bool stable) {
  Field::Volume made;
  made.volume = volume;
  made.stable = stable;
  const auto add = [&](std::string_view operation, std::string name) {
    const auto answer =
        take(mount.change(operation, {{"dir", {volume, 1}}, {"name", name}, {"mode", 0777}}),
             "making " + name);
    return answer["done"][0]["node"].get<std::uint64_t>();
  };
  for (std::size_t i = 0; i < kAttributes; ++i) {
    const std::uint64_t node = add("create", fmt::format("times{}", i));
    const std::uint64_t value = 1 + i;
    take(mount.change("setattr", {{"fid", {volume, node}}, {"mtime", value}}), "setting a time");
    const Fid fid{common::VolumeId{volume}, common::NodeId{node}};
    checker_.registers().begins_with(object_of(fid), value);
    made.attributes.push_back(node);
  }
  for (std::size_t i = 0; i < kFiles; ++i)
    made.files.push_back(add("create", fmt::format("file{}", i)));
  for (std::size_t i = 0; i < kDirectories; ++i)
    made.directories.push_back(add("mkdir", fmt::format("names{}", i)));
  for (std::size_t g = 0; g < generations(); ++g) {
    auto& logs = made.logs.emplace_back();
    for (std::size_t i = 0; i < kLogs; ++i)
      logs.push_back(add("create", fmt::format("log{}-{}", g, i)));
  }
  return made;
}

void Run::make_files() {
  const auto mount = cell_->mount();
  field_.volumes.push_back(make_volume(*mount, cell_->volume(), false));
  const auto stable = take(
      mount->call("volume-create",
                  {{"name", "stable"}, {"policy", {{"close_level", "stable"}}}, {"mode", 0777}}),
      "making a volume");
  field_.volumes.push_back(make_volume(*mount, stable["volume"].get<std::uint32_t>(), true));
  // Does the server serve bytes?
  const Field::Volume& volume = field_.volumes.front();
  const json fid = {volume.volume, volume.files.front()};
  field_.contents = mount->change("store", {{"fid", fid}, {"size", 0}}).has_value();
  check(mount->close(), "closing a session");
  const auto server = take(field_.server(), "a server's address");
  take(server.source->tgt(clock_.now() + 60s), "logging in");
  field_.began = clock_.now().time_since_epoch().count();
  std::ofstream(file_of("field", 0)) << field_.to_text();
}

void Run::start_client(std::size_t slot, bool same_mount) {
  Client& client = clients_[slot];
  client.number = ++client_numbers_;
  if (!same_mount || client.mount.empty())
    client.mount = fmt::format("{:016x}{:016x}", random_() >> 1, random_());
  ClientOptions how;
  how.field = file_of("field", 0);
  how.history = file_of("history", client.number);
  how.client = client.number;
  how.seed = random_();
  how.mount = client.mount;
  constexpr unsigned kNumberBits = 32;  // a mount's numbers grow through all its processes
  how.first_number = (client.number << kNumberBits) + 1;
  how.wall = file_of("wall", slot);
  how.plant = options_.plant;
  test_support::ProcessOptions process;
  process.network_namespace = network_.path_of(1 + slot);
  client.process.emplace(take(
      Process::spawn(std::filesystem::read_symlink("/proc/self/exe"), to_arguments(how), process),
      "starting a client"));
  checker_.add(client.number, how.history);
}

// --- faults ---

Duration Run::between(Duration least, Duration most) {
  return least + Duration(static_cast<std::int64_t>(
                     random_() % static_cast<std::uint64_t>((most - least).count() + 1)));
}

std::optional<std::size_t> Run::idle_client() {
  const std::size_t first = random_() % kClients;
  for (std::size_t i = 0; i < kClients; ++i) {
    const std::size_t slot = (first + i) % kClients;
    if (!clients_[slot].busy)
      return slot;
  }
  return std::nullopt;
}

void Run::heal_after(Duration delay, std::function<void()> heal) {
  healings_.push_back({clock_.now() + delay, std::move(heal)});
}

void Run::heal_due(bool all) {
  const common::Instant now = clock_.now();
  for (std::size_t i = 0; i < healings_.size();) {
    if (!all && now < healings_[i].at) {
      ++i;
      continue;
    }
    const auto heal = std::move(healings_[i].heal);
    healings_.erase(healings_.begin() + static_cast<std::ptrdiff_t>(i));
    heal();
  }
}

// Each kind comes once before any comes again.
void Run::next_fault() {
  if (deck_.empty()) {
    for (std::size_t i = 0; i < kKindNames.size(); ++i)
      deck_.push_back(static_cast<Kind>(i));
    std::shuffle(deck_.begin(), deck_.end(), random_);
  }
  for (auto kind = deck_.begin(); kind != deck_.end(); ++kind) {
    if (begin(*kind)) {
      ++faults_[static_cast<std::size_t>(*kind)];
      deck_.erase(kind);
      return;
    }
  }
}

bool Run::begin(Kind kind) {
  switch (kind) {
    case Kind::KillServer:
    case Kind::StopServer:
    case Kind::StopServerLong:
      return befall_server(kind);
    case Kind::KillServerCutOff:
      return kill_while_cut_off();
    default:
      return befall_client(kind);
  }
}

bool Run::befall_server(Kind kind) {
  if (server_busy_)
    return false;
  auto& process = cell_->cell().process("fileserver");
  if (kind == Kind::KillServer) {
    process.kill();
    server_busy_ = true;
    heal_after(between(0ms, 1s), [this] {
      check(cell_->cell().start("fileserver"), "starting the file server again");
      server_busy_ = false;
    });
    return true;
  }
  check(process.stop(), "stopping the file server");
  server_busy_ = server_stopped_ = true;
  const Duration over = lease_ + kMargin;
  heal_after(kind == Kind::StopServer ? between(100ms, lease_ / 2) : over + between(0ms, 1s),
             [this] {
               check(cell_->cell().process("fileserver").resume(), "resuming the file server");
               server_busy_ = server_stopped_ = false;
             });
  return true;
}

// A client that cannot hear of it, and answers from memory until its lease is over.
bool Run::kill_while_cut_off() {
  const auto slot = idle_client();
  if (!slot || server_busy_)
    return false;
  partition(Kind::Partition, *slot);
  cell_->cell().process("fileserver").kill();
  check(cell_->cell().start("fileserver"), "starting the file server again");
  return true;
}

bool Run::befall_client(Kind kind) {
  const auto slot = idle_client();
  if (!slot)
    return false;
  Client& client = clients_[*slot];
  const auto free = [this, slot = *slot] { clients_[slot].busy = false; };
  switch (kind) {
    case Kind::KillClient:
      client.process->kill();
      checker_.ended(client.number);
      start_client(*slot, random_() % 2 == 0);
      return true;
    case Kind::StopClient:
    case Kind::StopClientLong:
      check(client.process->stop(), "stopping a client");
      client.busy = client.stopped = true;
      heal_after(kind == Kind::StopClient ? between(100ms, lease_ / 2)
                                          : lease_ + between(300ms, kMargin + 1s),
                 [this, slot = *slot, free] {
                   check(clients_[slot].process->resume(), "resuming a client");
                   clients_[slot].stopped = false;
                   free();
                 });
      return true;
    case Kind::SlowLink:
      check(network_.limit(1 + *slot, 8'000 + random_() % 60'000), "slowing a link");
      client.busy = true;
      heal_after(between(lease_ / 2, 2 * lease_), [this, slot = *slot, free] {
        check(network_.limit(1 + slot, 0), "speeding a link up");
        free();
      });
      return true;
    case Kind::WallClock: {
      // Forwards or backwards by up to an hour; tickets are of the server's time.
      const Duration wrong = between(0s, 2h) - Duration(1h);
      set_wall_clock(file_of("wall", *slot), wrong.count());
      return true;
    }
    default:
      partition(kind, *slot);
      return true;
  }
}

void Run::partition(Kind kind, std::size_t slot) {
  const bool to_server = kind != Kind::PartitionToClient;
  const bool to_client = kind != Kind::PartitionToServer;
  if (to_server)
    check(network_.block(1 + slot, kServerNode), "cutting a link");
  if (to_client)
    check(network_.block(kServerNode, 1 + slot), "cutting a link");
  clients_[slot].busy = true;
  // Some within the lease, some until long after the server has given it up.
  const Duration over = lease_ + lease_ / 3 + kMargin;
  heal_after(random_() % 2 == 0 ? between(200ms, over) : over + between(1s, 4s),
             [this, slot, to_server, to_client] {
               if (to_server)
                 check(network_.heal(1 + slot, kServerNode), "healing a link");
               if (to_client)
                 check(network_.heal(kServerNode, 1 + slot), "healing a link");
               clients_[slot].busy = false;
             });
}

// --- watching, and the end ---

void Run::violation(std::string text) {
  std::fprintf(stderr, "violation: %s\n", text.c_str());
  if (violations_.size() < history::Verdicts::kKept)
    violations_.push_back(std::move(text));
}

void Run::watch() {
  check(checker_.go_on(), "reading histories");
  most_waiting_ = std::max<std::uint64_t>(most_waiting_, checker_.waiting());
  for (std::size_t slot = 0; slot < kClients; ++slot) {
    Client& client = clients_[slot];
    if (client.process->running())
      continue;
    violation(fmt::format("client {} ended by itself: {}", client.number,
                          client.process->error_output()));
    checker_.ended(client.number);
    start_client(slot, false);
  }
  auto& server = cell_->cell().process("fileserver");
  if (!server_busy_ && !server.running()) {
    violation(fmt::format("the file server ended by itself: {}", server.error_output()));
    check(cell_->cell().start("fileserver"), "starting the file server again");
  }
}

// Whatever they have begun comes to an end now.
void Run::end_clients() {
  heal_due(true);
  for (Client& client : clients_)
    check(client.process->signal(SIGTERM), "ending a client");
  const common::Instant deadline = clock_.now() + kAtMostToEnd;
  for (Client& client : clients_) {
    const auto ended = client.process->wait(std::max<Duration>(deadline - clock_.now(), 1ms));
    if (!ended)
      violation(fmt::format("client {} does not come to an end", client.number));
    else if (!ended->ok() && ended->signal != SIGTERM)  // it had not even begun
      violation(fmt::format("client {}: {}: {}", client.number, ended->describe(),
                            client.process->error_output()));
    client.process->kill();
    checker_.ended(client.number);
  }
  check(checker_.go_on(), "reading histories");
}

void Run::read_last() {
  MountOptions how;
  how.server = take(field_.server(), "a server's address");
  how.id[1] = std::byte{1};
  const auto mount = take(CachingMount::start(how), "a last mount");
  for (const Field::Volume& volume : field_.volumes)
    read_last(*mount, volume);
}

void Run::read_last(CachingMount& mount, const Field::Volume& volume) {
  const auto fid_of = [&](std::uint64_t node) {
    return Fid{common::VolumeId{volume.volume}, common::NodeId{node}};
  };
  const auto deadline = [&] { return clock_.now() + 30s; };
  history::Record record;
  record.phase = history::Phase::Return;
  record.kind = history::Kind::Read;
  for (const std::uint64_t node : volume.attributes) {
    const auto last = take(mount.attributes(fid_of(node), deadline()), "a last look");
    record.object = object_of(fid_of(node));
    record.value = static_cast<std::uint64_t>(last.mtime);
    record.version = last.version.value;
    checker_.registers().take_last(record);
  }
  for (const std::uint64_t node : volume.directories) {
    const auto names = take(mount.names(fid_of(node), deadline()), "a last list");
    std::vector<history::Entry> entries;
    for (const auto& [name, entry] : names.entries)
      entries.push_back({name, entry});
    checker_.names().take_last(object_of(fid_of(node)), entries);
  }
  if (!field_.contents)
    return;
  for (const std::uint64_t node : volume.files) {
    const auto last = take(mount.bytes(fid_of(node), 0, deadline()), "a last read");
    const auto value = history::parse_whole(last.bytes);
    if (!value) {
      checker_.verdicts().add(Fault::Torn, fmt::format("file {} is nobody's in the end", node));
      continue;
    }
    record.object = object_of(fid_of(node));
    record.value = *value;
    record.version = last.node.data_version.value;
    checker_.registers().take_last(record);
  }
  for (const auto& generation : volume.logs) {
    for (const std::uint64_t node : generation) {
      const auto last = take(mount.bytes(fid_of(node), 0, deadline()), "a last read");
      checker_.appends().take_content(object_of(fid_of(node)), last.bytes);
    }
  }
}

int Run::report() {
  const history::Verdicts& verdicts = checker_.verdicts();
  json faults = json::object();
  for (std::size_t i = 0; i < faults_.size(); ++i)
    faults[kKindNames[i]] = faults_[i];
  std::vector<std::string> all = violations_;
  all.insert(all.end(), verdicts.texts().begin(), verdicts.texts().end());
  const auto count = [&](history::Kind kind) {
    return checker_.count(kind, history::Outcome::Done);
  };
  const json report = {
      {"ops", checker_.done()},
      {"answered", checker_.answered()},
      {"reads", count(history::Kind::Read)},
      {"writes", count(history::Kind::Write)},
      {"appends", count(history::Kind::Append)},
      {"logs", count(history::Kind::Log)},
      {"names",
       count(history::Kind::Create) + count(history::Kind::Rename) + count(history::Kind::Remove)},
      {"looks", count(history::Kind::Look) + count(history::Kind::List)},
      {"unknown", checker_.count(history::Kind::Write, history::Outcome::Unknown) +
                      checker_.count(history::Kind::Append, history::Outcome::Unknown) +
                      checker_.count(history::Kind::Create, history::Outcome::Unknown)},
      {"refused_reads", checker_.count(history::Kind::Read, history::Outcome::Refused)},
      {"refused_writes", checker_.count(history::Kind::Write, history::Outcome::Refused)},
      {"contents", field_.contents},
      {"clients", client_numbers_},
      {"most_records_waiting", most_waiting_},
      {"faults", faults},
      {"stale", verdicts.of(Fault::Stale)},
      {"lost", verdicts.of(Fault::Lost)},
      {"duplicated", verdicts.of(Fault::Duplicated)},
      {"torn", verdicts.of(Fault::Torn)},
      {"invented", verdicts.of(Fault::Invented)},
      {"disordered", verdicts.of(Fault::Disordered)},
      {"violations", verdicts.all() + violations_.size()},
      {"violation_list", all},
  };
  std::printf("%s\n", report.dump().c_str());
  // What was planted is found by what it does, not by what else goes wrong.
  if (!options_.plant.empty())
    return verdicts.all() > 0 ? kFound : 0;
  return all.empty() ? 0 : 1;
}

int Run::go() {
  start_cell();
  make_files();
  for (std::size_t slot = 0; slot < kClients; ++slot) {
    set_wall_clock(file_of("wall", slot), 0);
    start_client(slot, false);
  }
  common::Event nobody;
  // From when all work, whatever the machine makes of their beginning.
  for (const common::Instant latest = clock_.now() + kAtMostToEnd;
       checker_.done() < kDoneAtFirst && clock_.now() < latest;) {
    static_cast<void>(nobody.wait_for(kBetweenLooks));
    watch();
  }
  const common::Instant end = clock_.now() + std::chrono::seconds(options_.seconds);
  common::Instant next_line = clock_.now() + 10s;
  common::Instant next = clock_.now() + 1s;
  while (clock_.now() < end) {
    static_cast<void>(nobody.wait_for(kBetweenLooks));
    heal_due(false);
    watch();
    if (clock_.now() >= next) {
      next_fault();
      next = clock_.now() + (options_.brief ? between(200ms, 1s) : between(400ms, 2500ms));
    }
    if (clock_.now() >= next_line) {
      next_line += 10s;
      std::fprintf(stderr, "%llu operations, %zu records wait, %llu violations\n",
                   static_cast<unsigned long long>(checker_.done()), checker_.waiting(),
                   static_cast<unsigned long long>(checker_.verdicts().all()));
    }
    // What was planted has been found.
    if (!options_.plant.empty() && checker_.verdicts().all() > 0)
      break;
  }
  end_clients();
  read_last();
  return report();
}

}  // namespace

std::vector<std::string> all_plants() {
  std::vector<std::string> names = client_plants();
  names.emplace_back("forget-ids");
  for (std::string& name : fileserver::promise_bug_names())
    names.push_back(std::move(name));
  return names;
}

int run(const RunOptions& options, const std::string& scratch) {
  try {
    return Run(options, scratch).go();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace promises_real
