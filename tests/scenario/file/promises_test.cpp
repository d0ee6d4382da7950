// Two mounts and a file server, all real: what was promised is told before it changes, whoever is
// silent, killed or cut off.

#include <atomic>
#include <future>
#include <thread>

#include "tests/support/file_cell.hpp"
#include "tests/support/tcp_proxy.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using nlohmann::json;
using test_support::ChangeCall;
using test_support::FileCell;
using test_support::FileMount;
using test_support::kPatience;

namespace {

json make_file(FileMount& mount, const json& directory, const std::string& name,
               std::string bytes = {}) {
  ChangeCall how;
  how.bytes = bytes;
  json args{{"dir", directory}, {"name", name}, {"mode", 0666}};
  if (!bytes.empty())
    args["bytes"] = bytes.size();
  const auto made = mount.change("create", args, how);
  REQUIRE_OK(made);
  return {directory[0], (*made)["done"][0]["node"]};
}

json attributes(FileMount& mount, const json& fid) {
  const auto answer = mount.call("getattr", {{"fids", json::array({fid})}});
  REQUIRE_OK(answer);
  return (*answer)["nodes"][0];
}

// The change in a thread of its own: it waits.
auto in_background(FileMount& mount, std::string operation, json args, ChangeCall how = {}) {
  return std::async(std::launch::async,
                    [&mount, operation, args, how] { return mount.change(operation, args, how); });
}

bool is_waiting(const std::future<common::Result<json>>& change) {
  return change.wait_for(0s) != std::future_status::ready;
}

}  // namespace

TEST_CASE("G1: nothing changes before who was promised it has acknowledged, and then hears of it") {
  FileCell cell;
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  const json before = attributes(*holder, file);
  REQUIRE(before["p"] == 1);
  holder->acknowledge_at_once(false);
  auto change = in_background(*writer, "setattr", {{"fid", file}, {"mode", 0600}});
  const auto told = holder->wait_break();
  REQUIRE_OK(told);
  REQUIRE(told->nodes.size() == 1);
  CHECK(told->nodes[0].fid.node.value == file[1].get<std::uint64_t>());
  // It waits for us, and until then it has not happened.
  CHECK(is_waiting(change));
  const json meanwhile = attributes(*holder, file);
  CHECK(meanwhile["m"] == before["m"]);
  CHECK_FALSE(meanwhile.contains("p"));
  holder->acknowledge(told->number);
  const auto done = change.get();
  REQUIRE_OK(done);
  const auto update = holder->wait_update();
  REQUIRE_OK(update);
  CHECK(update->seq.value == (*done)["seq"].get<std::uint64_t>());
  REQUIRE(update->nodes.size() == 1);
  CHECK(update->nodes[0].old_version.value == before["v"].get<std::uint64_t>());
  CHECK(attributes(*holder, file)["m"] == 0600);
}

TEST_CASE("a change that touches nobody's promises does not wait") {
  FileCell cell;
  const auto writer = cell.mount();
  const auto other = cell.mount();
  other->acknowledge_at_once(false);
  const json file = make_file(*writer, cell.root(), "a");
  CHECK(attributes(*writer, file)["p"] == 1);
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}));
  CHECK_FALSE(other->has_break());
  CHECK_FALSE(writer->has_break());
}

TEST_CASE("a name that is not there is promised, too") {
  FileCell cell;
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const auto absent = holder->call("lookup", {{"dir", cell.root()}, {"name", "soon"}});
  REQUIRE_OK(absent);
  CHECK_FALSE(absent->contains("node"));
  REQUIRE((*absent)["dir"]["p"] == 1);
  holder->acknowledge_at_once(false);
  auto change =
      in_background(*writer, "mkdir", {{"dir", cell.root()}, {"name", "soon"}, {"mode", 0755}});
  const auto told = holder->wait_break();
  REQUIRE_OK(told);
  CHECK(is_waiting(change));
  holder->acknowledge(told->number);
  CHECK_OK(change.get());
  const auto there = holder->call("lookup", {{"dir", cell.root()}, {"name", "soon"}});
  REQUIRE_OK(there);
  CHECK((*there)["node"]["k"] == "d");
}

TEST_CASE("F18: a silent holder delays a writer until its lease and margin are over, and is dead") {
  FileCell cell({.lease = 1000ms});
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  REQUIRE(attributes(*holder, file)["p"] == 1);
  holder->be_silent();
  const common::SystemClock clock;
  const auto began = clock.now();
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}));
  // Lease and margin count from the last renewal, which was at most a lease ago.
  CHECK(clock.now() - began >= 1000ms);
  CHECK(clock.now() - began < kPatience);
  CHECK_FAILS(holder->call("getattr", {{"fids", json::array({file})}}), common::ErrorCode::Stale);
  // It begins anew, and sees what is there.
  REQUIRE_OK(holder->open());
  CHECK(attributes(*holder, file)["m"] == 0600);
}

TEST_CASE("the deadline of a change that waits is kept, and nothing has happened") {
  FileCell cell;
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  const json before = attributes(*holder, file);
  holder->acknowledge_at_once(false);
  ChangeCall how;
  how.deadline = 1500ms;
  const auto refused = writer->change("setattr", {{"fid", file}, {"mode", 0600}}, how);
  CHECK_FALSE(refused);
  // On a slow machine the answer came too late, and the connection is gone.
  REQUIRE_OK(writer->rejoin());
  CHECK(attributes(*holder, file)["m"] == before["m"]);
  const auto told = holder->wait_break();
  REQUIRE_OK(told);
  holder->acknowledge_at_once(true);
  holder->acknowledge(told->number);
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}));
}

TEST_CASE("R6: two mounts that create in one directory do not wait for each other for ever") {
  FileCell cell;
  const auto one = cell.mount();
  const auto two = cell.mount();
  for (int i = 0; i < 20; ++i) {
    for (FileMount* const mount : {one.get(), two.get()})
      REQUIRE_OK(mount->call("lookup", {{"dir", cell.root()}, {"name", "x"}}));
    auto first =
        in_background(*one, "create",
                      {{"dir", cell.root()}, {"name", "one" + std::to_string(i)}, {"mode", 0644}});
    auto second =
        in_background(*two, "create",
                      {{"dir", cell.root()}, {"name", "two" + std::to_string(i)}, {"mode", 0644}});
    CHECK_OK(first.get());
    CHECK_OK(second.get());
  }
  const auto all = one->call("list", {{"dir", cell.root()}, {"limit", 1000}});
  REQUIRE_OK(all);
  CHECK((*all)["entries"].size() == 40);
}

TEST_CASE("R10: after a crash changes wait until every session is back; reads do not") {
  FileCell cell({.lease = 10'000ms});
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  REQUIRE(attributes(*holder, file)["p"] == 1);
  cell.restart();
  REQUIRE_OK(writer->resume());
  REQUIRE_OK(writer->dial());
  CHECK(attributes(*writer, file)["m"] == 0666);
  ChangeCall how;
  how.deadline = 500ms;
  const auto refused = writer->change("setattr", {{"fid", file}, {"mode", 0600}}, how);
  CHECK_FAILS(refused, common::ErrorCode::Unavailable);
  CHECK(refused.error().retry_after.count() > 0);
  auto change = in_background(*writer, "setattr", {{"fid", file}, {"mode", 0600}});
  FileMount other(cell.address());
  CHECK(attributes(other, file)["m"] == 0666);
  CHECK(is_waiting(change));
  REQUIRE_OK(holder->resume());
  CHECK_OK(change.get());
  CHECK(attributes(*holder, file)["m"] == 0600);
}

TEST_CASE("R10: a stop in order asks for everything, and then nothing is waited for") {
  FileCell cell;
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  REQUIRE(attributes(*holder, file)["p"] == 1);
  cell.restart_in_order();
  const auto told = holder->wait_break();
  REQUIRE_OK(told);
  CHECK(told->nodes.empty());
  // Its session is still there, to be resumed; nobody waits for that.
  REQUIRE_OK(writer->resume());
  ChangeCall how;
  how.deadline = 5'000ms;  // less than the lease that a crash would have left to wait for
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}, how));
  REQUIRE_OK(holder->resume());
  REQUIRE_OK(holder->dial());
  CHECK(attributes(*holder, file)["m"] == 0600);
  CHECK(attributes(*holder, file)["p"] == 1);
}

TEST_CASE(
    "F30, F32: many mounts come back at once after a crash, and are all asked before a change") {
  constexpr std::size_t kMounts = 40;
  FileCell cell;
  const auto writer = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  const json version = attributes(*writer, file)["v"];
  std::vector<std::unique_ptr<FileMount>> holders;
  for (std::size_t i = 0; i < kMounts; ++i) {
    holders.push_back(cell.mount());
    REQUIRE(attributes(*holders.back(), file)["p"] == 1);
  }
  cell.restart();
  std::vector<std::future<common::Status>> back;
  for (const auto& holder : holders) {
    back.push_back(std::async(std::launch::async, [&, mount = holder.get()]() -> common::Status {
      TROTH_TRY_VOID(mount->resume());
      TROTH_TRY_VOID(mount->dial());
      TROTH_TRY(
          const json same,
          mount->call("revalidate", {{"nodes", json::array({json::array({file, version})})}}));
      return same["changed"].empty() ? common::Status()
                                     : common::fail(common::ErrorCode::Internal, "{}", same.dump());
    }));
  }
  REQUIRE_OK(writer->resume());
  REQUIRE_OK(writer->dial());
  for (auto& one : back)
    CHECK_OK(one.get());
  for (const auto& holder : holders)
    CHECK_FALSE(holder->has_break());
  // Each holds it again, each is asked, each is told.
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}));
  for (const auto& holder : holders) {
    CHECK_OK(holder->wait_break());
    CHECK_OK(holder->wait_update());
  }
}

TEST_CASE("F22: a change whose answer was lost is answered from the record, and happened once") {
  FileCell cell;
  const auto direct = cell.mount();
  auto proxy = test_support::TcpProxy::start(cell.cell().address(), 7482);
  REQUIRE_OK(proxy);
  auto address = cell.address();
  address.host = "127.0.0.1";
  address.port = (*proxy)->port();
  FileMount through(address);
  REQUIRE_OK(through.open());
  const json args{{"dir", cell.root()}, {"name", "once"}, {"mode", 0644}};
  const std::uint64_t number = through.next_number();
  (*proxy)->set(test_support::Direction::ToClient, {.swallow = true});
  ChangeCall how;
  how.number = number;
  how.deadline = 1000ms;
  CHECK_FALSE(through.change("create", args, how));
  (*proxy)->clear();
  how.deadline = 20'000ms;
  // On another connection, which has to join first.
  REQUIRE_OK(through.rejoin());
  const auto again = through.change("create", args, how);
  REQUIRE_OK(again);
  CHECK((*again)["replayed"] == true);
  const auto all = direct->call("list", {{"dir", cell.root()}, {"limit", 1000}});
  REQUIRE_OK(all);
  REQUIRE((*all)["entries"].size() == 1);
  // Another call under a number that was used is told so.
  how.number = 0;
  CHECK_FAILS(through.change("create", args, how), common::ErrorCode::AlreadyExists);
}

TEST_CASE("F21: a change that is cut off on its way is sent again, and happens once") {
  FileCell cell;
  const auto direct = cell.mount();
  auto proxy = test_support::TcpProxy::start(cell.cell().address(), 7482);
  REQUIRE_OK(proxy);
  auto address = cell.address();
  address.host = "127.0.0.1";
  address.port = (*proxy)->port();
  FileMount through(address);
  REQUIRE_OK(through.open());
  (*proxy)->set(test_support::Direction::ToServer, {.swallow = true});
  const json args{{"dir", cell.root()}, {"name", "once"}, {"mode", 0644}, {"bytes", 100'000}};
  ChangeCall how;
  how.number = through.next_number();
  how.bytes = std::string(100'000, 'x');
  how.deadline = 1000ms;
  CHECK_FALSE(through.change("create", args, how));
  CHECK_FALSE(direct->call("lookup", {{"dir", cell.root()}, {"name", "once"}})->contains("node"));
  (*proxy)->clear();
  REQUIRE_OK(through.rejoin());
  how.deadline = ChangeCall().deadline;
  const auto again = through.change("create", args, how);
  REQUIRE_OK(again);
  CHECK_FALSE((*again).value("replayed", false));
  const auto there = direct->call("lookup", {{"dir", cell.root()}, {"name", "once"}});
  REQUIRE_OK(there);
  CHECK((*there)["node"]["s"] == 100'000);
}

TEST_CASE(
    "F21: a mount that cannot be reached delays a writer for its lease, whichever way is cut") {
  FileCell cell({.lease = 1000ms});
  const auto writer = cell.mount();
  FileMount holder(cell.address());
  REQUIRE_OK(holder.open());
  auto proxy = test_support::TcpProxy::start(cell.cell().address(), holder.stream_port());
  REQUIRE_OK(proxy);
  REQUIRE_OK(holder.dial("127.0.0.1", (*proxy)->port()));
  const json file = make_file(*writer, cell.root(), "a");
  REQUIRE(attributes(holder, file)["p"] == 1);
  SUBCASE("it hears nothing, and goes on renewing") {
    (*proxy)->set(test_support::Direction::ToClient, {.swallow = true});
  }
  SUBCASE("it is not heard") {
    (*proxy)->set(test_support::Direction::ToServer, {.swallow = true});
  }
  SUBCASE("both") {
    (*proxy)->set(test_support::Direction::ToClient, {.stalled = true});
    (*proxy)->set(test_support::Direction::ToServer, {.stalled = true});
  }
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0600}}));
  // What it was promised is not promised any more, and it is told so when it asks.
  CHECK_FAILS(holder.call("getattr", {{"fids", json::array({file})}}), common::ErrorCode::Stale);
  (*proxy)->clear();
  REQUIRE_OK(holder.open());
  CHECK(attributes(holder, file)["m"] == 0600);
}

TEST_CASE("F37: what comes twice is executed once") {
  FileCell cell;
  const auto mount = cell.mount();
  ChangeCall how;
  how.number = mount->next_number();
  const json args{{"dir", cell.root()}, {"name", "d"}, {"mode", 0755}};
  const auto first = mount->change("mkdir", args, how);
  REQUIRE_OK(first);
  const auto second = mount->change("mkdir", args, how);
  REQUIRE_OK(second);
  CHECK((*second)["replayed"] == true);
  CHECK((*second)["seq"] == (*first)["seq"]);
  CHECK_OK(mount->change("rmdir", {{"dir", cell.root()}, {"name", "d"}}));
  // Also when what it did is gone since.
  CHECK((*mount->change("mkdir", args, how))["replayed"] == true);
  CHECK_FALSE(mount->call("lookup", {{"dir", cell.root()}, {"name", "d"}})->contains("node"));
}

TEST_CASE("knowing a session's number grants nothing") {
  FileCell cell;
  const auto owner = cell.mount();
  FileMount thief(cell.address());
  const json file = make_file(*owner, cell.root(), "a");
  // Without a session nothing is promised.
  CHECK_FALSE(attributes(thief, file).contains("p"));
  CHECK_FAILS(
      thief.call("session-join", {{"session", owner->session()}, {"proof", std::string(64, '0')}}),
      common::ErrorCode::Unauthenticated);
  const auto stolen =
      thief.change("setattr", {{"fid", file}, {"mode", 0600}, {"s", owner->session()}});
  CHECK_FAILS(stolen, common::ErrorCode::Stale);
}

TEST_CASE("F17: a server that was stopped for long does not make changes that nobody waits for") {
  FileCell cell({.lease = 1000ms});
  const auto writer = cell.mount();
  const auto holder = cell.mount();
  const json file = make_file(*writer, cell.root(), "a");
  REQUIRE(attributes(*holder, file)["p"] == 1);
  holder->acknowledge_at_once(false);
  ChangeCall how;
  how.deadline = 1500ms;
  auto change = in_background(*writer, "setattr", {{"fid", file}, {"mode", 0600}}, how);
  const auto told = holder->wait_break();
  REQUIRE_OK(told);
  REQUIRE_OK(cell.cell().process("fileserver").stop());
  // The caller has given up; its holder says now that it may go on.
  CHECK_FALSE(change.get());
  holder->acknowledge(told->number);
  REQUIRE_OK(cell.cell().process("fileserver").resume());
  FileMount other(cell.address());
  CHECK(attributes(other, file)["m"] == 0666);
  // Leases were over while it stood still: nobody is taken for alive.
  REQUIRE_OK(writer->open());
  CHECK_OK(writer->change("setattr", {{"fid", file}, {"mode", 0640}}));
}

TEST_CASE("F31: after more load than a server can carry it answers as before") {
  FileCell cell;
  const auto mount = cell.mount();
  const json file = make_file(*mount, cell.root(), "a");
  // Each asks again at once whatever it is told, far more of them than there are workers, and with
  // deadlines that most cannot meet.
  constexpr int kCallers = 32;
  constexpr int kCalls = 40;
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      FileMount caller(cell.address());
      if (!caller.open())
        return;
      for (int n = 0; n < kCalls; ++n) {
        ChangeCall how;
        how.deadline = 40ms;
        const json touch{{"fid", file}, {"mtime", "now"}};
        if (caller.call("getattr", {{"fids", json::array({file})}}))
          ++answered;
        if (!caller.change("setattr", touch, how))
          ++refused;
      }
    });
  }
  for (std::thread& caller : callers)
    caller.join();
  CHECK(answered > 0);
  // What nobody waits for any more is not carried out: a change goes through at once.
  ChangeCall how;
  how.deadline = kPatience;
  CHECK_OK(mount->change("setattr", {{"fid", file}, {"mode", 0600}}, how));
  CHECK(attributes(*mount, file)["m"] == 0600);
}
