// A mount's session with a real file server: what is promised, broken, lost, resumed, repeated.

#include "common/fileclient/session/mount_session.hpp"

#include <future>

#include "common/crypto/random.hpp"
#include "common/fileclient/session/session_caller.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/tcp_proxy.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using common::ErrorCode;
using common::Fid;
using common::NodeId;
using common::VolumeId;
using nlohmann::json;
using test_support::eventually;
using test_support::FileCell;
using test_support::FileServerAddress;
namespace fileclient = common::fileclient;
namespace fileproto = common::fileproto;
using fileclient::MountSession;
using fileclient::SessionChange;
using fileclient::SessionState;
using fileclient::Taken;

namespace {

// Has nothing that could be withdrawn, and remembers what it was told.
class Listener final : public fileclient::SessionListener {
 public:
  struct Told {
    std::vector<Fid> withdrawn;
    std::size_t all = 0;
    std::vector<fileclient::SessionBegun> begun;
    std::vector<fileproto::Update> updates;
    std::vector<Taken> taken;
    bool replaced = false;
    std::vector<fileclient::Withdrawal> kept;  // not answered yet
  };

  void withdraw(MountSession& session, fileclient::Withdrawal id,
                std::span<const fileclient::BrokenNode> nodes) override {
    {
      auto told = told_.lock();
      for (const auto& node : nodes)
        told->withdrawn.push_back(node.node);
      if (hold) {
        told->kept.push_back(id);
        return;
      }
    }
    session.withdrawn(id);
  }
  void withdraw_all(MountSession& session, fileclient::Withdrawal id) override {
    ++told_.lock()->all;
    session.withdrawn(id);
  }
  void updated(MountSession&, const fileproto::Update& update,
               std::span<const Taken> taken) override {
    auto told = told_.lock();
    told->updates.push_back(update);
    told->taken.assign(taken.begin(), taken.end());
  }
  void begun(MountSession&, const fileclient::SessionBegun& begun) override {
    told_.lock()->begun.push_back(begun);
  }
  void replaced(MountSession&, const common::Error&) override { told_.lock()->replaced = true; }

  Told told() { return *told_.lock(); }

  std::atomic<bool> hold{false};

 private:
  common::Locked<Told> told_;
};

class Mount {
 public:
  explicit Mount(const FileServerAddress& address, fileproto::MountId id = random_id(),
                 std::uint16_t port = 0) {
    fileclient::MountSessionOptions options;
    options.name = "fileserver1";
    options.connection.host = address.host;
    options.connection.port = port == 0 ? address.port : port;
    if (port != 0) {
      options.connection.host = "127.0.0.1";
      options.connection.server_name = address.host;
      options.stream_address = address.host;
    }
    options.connection.cell_id = address.cell;
    options.connection.role = "fileserver";
    options.connection.tls = address.tls;
    options.service = address.service;
    options.opener = address.source;
    options.mount = id;
    options.redial = {.spread = 100ms, .longest = 1'000ms, .shortest = 20ms};
    auto started = MountSession::start(std::move(options), listener_, clock_);
    REQUIRE_OK(started);
    session_ = *std::move(started);
    REQUIRE_OK(session_->wait_open({}));
    // Only with a stream is anything promised.
    REQUIRE(eventually([&] { return session_->lease_end() > clock_.now(); }));
  }

  static fileproto::MountId random_id() {
    fileproto::MountId id{};
    REQUIRE_OK(common::crypto::random_bytes(id));
    id[0] &= std::byte{0x7f};
    return id;
  }

  MountSession* operator->() { return session_.get(); }
  MountSession& session() { return *session_; }
  Listener& listener() { return listener_; }
  fileclient::SessionCaller& me() { return *session_->opener(); }

  Fid make(Fid directory, std::string name) {
    fileproto::Create create;
    create.made.dir = directory;
    create.made.name = std::move(name);
    create.made.mode = 0666;
    const auto made = session_->change(me(), create, {.number = next(), .named = {directory}});
    REQUIRE_OK(made);
    return {directory.volume, *made->result.outcomes.at(0).created};
  }
  common::Result<fileclient::Changed> chmod(Fid node, std::uint32_t mode,
                                            const fileclient::CallOptions& options = {}) {
    fileproto::Setattr change;
    change.fid = node;
    change.mode = mode;
    return session_->change(me(), change, {.number = next(), .named = {node}}, options);
  }
  // Asks the server; what the book made of the answer.
  Taken look(Fid node, fileproto::Attributes* attributes = nullptr) {
    const auto asked = session_->ask(me(), fileproto::GetattrArgs{{}, {node}});
    REQUIRE_OK(asked);
    const auto& found = asked->result.nodes.at(0);
    REQUIRE_OK(found);
    if (attributes != nullptr)
      *attributes = *found;
    return session_->learn(asked->call, asked->result.state, node.volume, *found);
  }
  std::uint64_t next() { return ++number_; }
  void end() { session_.reset(); }

 private:
  common::SystemClock clock_;
  Listener listener_;
  std::unique_ptr<MountSession> session_;
  std::uint64_t number_ = 0;
};

Fid root_of(const FileCell& cell) {
  return {VolumeId{cell.volume()}, NodeId{1}};
}

}  // namespace

TEST_CASE("what a mount has asked for is promised until somebody changes it") {
  FileCell cell;
  Mount one(cell.address());
  Mount two(cell.address());
  const Fid file = one.make(root_of(cell), "a");
  REQUIRE(two.look(file) == Taken::Promised);
  CHECK(two->promised(file));
  CHECK_OK(one.chmod(file, 0600));
  // Nothing is answered before it has been withdrawn.
  CHECK_FALSE(two.listener().told().withdrawn.empty());
  REQUIRE(eventually([&] { return !two.listener().told().updates.empty(); }));
  fileproto::Attributes now;
  CHECK(two.look(file, &now) != Taken::Older);
  CHECK(now.mode == 0600);
}

TEST_CASE("a change waits for who has not withdrawn yet, and its own node is promised after it") {
  FileCell cell;
  Mount one(cell.address());
  Mount two(cell.address());
  const Fid file = one.make(root_of(cell), "a");
  REQUIRE(two.look(file) == Taken::Promised);
  two.listener().hold = true;
  auto change = std::async(std::launch::async, [&] { return one.chmod(file, 0600); });
  REQUIRE(eventually([&] { return !two.listener().told().kept.empty(); }));
  CHECK_FALSE(two->promised(file));
  CHECK(change.wait_for(0s) != std::future_status::ready);
  two.listener().hold = false;
  two->withdrawn(two.listener().told().kept.at(0));
  const auto changed = change.get();
  REQUIRE_OK(changed);
  REQUIRE(changed->taken.size() == 1);
  CHECK(changed->taken[0] == Taken::Promised);
  CHECK(one->promised(file));
  // What it has promised itself is void as soon as it changes it again.
  CHECK_OK(one.chmod(file, 0644));
  CHECK(one.listener().told().withdrawn.empty());
}

TEST_CASE("an old state is not promised, though its node is: the book knows a newer one") {
  FileCell cell;
  Mount one(cell.address());
  Mount two(cell.address());
  const Fid file = one.make(root_of(cell), "a");
  REQUIRE(two.look(file) == Taken::Promised);
  const auto before = two->known(file);
  REQUIRE(before.has_value());
  CHECK(two->promised(file, *before));
  CHECK_OK(one.chmod(file, 0600));
  CHECK_FALSE(two->promised(file, *before));
  // Another thread has asked: who still holds what was before has nothing of it.
  fileproto::Attributes now;
  REQUIRE(two.look(file, &now) == Taken::Promised);
  CHECK(two->promised(file));
  CHECK_FALSE(two->promised(file, *before));
  CHECK(two->promised(file, {before->epoch, now.version}));
}

TEST_CASE("F33: a change whose answer is lost is done once, and the repetition tells what it did") {
  FileCell cell;
  auto proxy = test_support::TcpProxy::start(cell.address().host, cell.address().port);
  REQUIRE_OK(proxy);
  Mount near(cell.address());
  Mount far(cell.address(), Mount::random_id(), (*proxy)->port());
  const Fid root = root_of(cell);
  REQUIRE_OK(far.chmod(root, 0777));  // its connection is there
  (*proxy)->set(test_support::Direction::ToClient, {.swallow = true});
  fileproto::Mkdir make;
  make.made = {.dir = root, .name = "once", .mode = 0755};
  auto change = std::async(std::launch::async, [&] {
    return far->change(far.me(), make, {.number = far.next(), .named = {root}});
  });
  REQUIRE(eventually([&] {
    const auto found = near->ask(near.me(), fileproto::LookupArgs{{}, root, "once"});
    return found && found->result.node.has_value();
  }));
  (*proxy)->clear();
  (*proxy)->reset_all();
  const auto changed = change.get();
  REQUIRE_OK(changed);
  CHECK(changed->result.replayed);
  const auto found = near->ask(near.me(), fileproto::LookupArgs{{}, root, "once"});
  REQUIRE_OK(found);
  CHECK(found->result.node->node == *changed->result.outcomes.at(0).created);
}

TEST_CASE("a server that starts anew is resumed, and what has not changed is promised again") {
  FileCell cell({.lease = 3'000ms});
  Mount mount(cell.address());
  const Fid root = root_of(cell);
  std::vector<Fid> files;
  for (int i = 0; i < 5; ++i)
    files.push_back(mount.make(root, "file" + std::to_string(i)));
  for (const Fid file : files)
    CHECK(mount.look(file) == Taken::Promised);
  cell.restart();
  // The next call or the stream finds out.
  REQUIRE(eventually([&] {
    fileproto::Attributes ignored;
    mount.look(root, &ignored);
    return mount.listener().told().begun.size() == 2;
  }));
  const auto begun = mount.listener().told().begun;
  CHECK(begun[1].resumed);
  CHECK(begun[1].session == begun[0].session);
  CHECK(mount.listener().told().all >= 1);
  REQUIRE(eventually([&] { return mount->lease_end() > common::SystemClock().now(); }));
  std::size_t differing = 0;
  CHECK_OK(mount->revalidate(mount.me(), {}, [&](Fid, const auto*) { ++differing; }));
  for (const Fid file : files)
    CHECK(mount->promised(file));
  CHECK(differing <= 1);  // the root, if anything
  CHECK_OK(mount.chmod(files[0], 0600));
}

TEST_CASE("F17: what was promised is worth nothing when the lease has ended, and is had anew") {
  FileCell cell({.lease = 1'000ms});
  Mount mount(cell.address());
  const Fid file = mount.make(root_of(cell), "a");
  REQUIRE(mount.look(file) == Taken::Promised);
  auto& server = cell.cell().process("fileserver");
  REQUIRE_OK(server.stop());
  REQUIRE(eventually([&] { return !mount->promised(file); }));
  REQUIRE(eventually([&] { return mount.listener().told().all > 0; }));
  REQUIRE_OK(server.resume());
  REQUIRE(eventually([&] { return mount.look(file) == Taken::Promised; }));
}

TEST_CASE("R28: after the first missed deadline nobody else waits, until the server is back") {
  FileCell cell({.lease = 1'000ms});
  Mount mount(cell.address());
  const common::SystemClock clock;
  const Fid root = root_of(cell);
  auto& server = cell.cell().process("fileserver");
  REQUIRE_OK(server.stop());
  REQUIRE(eventually([&] { return mount->lease_end() < clock.now(); }));
  // The stream may be there still, for a moment: then a missed deadline says nothing yet.
  REQUIRE(eventually([&] {
    CHECK_FALSE(mount->ask(mount.me(), fileproto::GetattrArgs{{}, {root}},
                           {.deadline = clock.now() + 200ms, .cancellation = nullptr, .id = {}}));
    return mount->is_down();
  }));
  const auto asked = mount->ask(mount.me(), fileproto::GetattrArgs{{}, {root}});
  CHECK_FAILS(asked, ErrorCode::Unavailable);
  CHECK_FAILS(mount.chmod(root, 0700), ErrorCode::Unavailable);
  REQUIRE_OK(server.resume());
  REQUIRE(eventually([&] { return !mount->is_down(); }));
  CHECK_OK(mount.chmod(root, 0777));
}

TEST_CASE("two mounts with one id: the later one has it, the earlier one says so and gives up") {
  FileCell cell;
  const auto id = Mount::random_id();
  Mount first(cell.address(), id);
  Mount second(cell.address(), id);
  REQUIRE(eventually([&] { return first->state() == SessionState::Replaced; }));
  REQUIRE(eventually([&] { return first.listener().told().replaced; }));
  const auto asked = first->ask(first.me(), fileproto::GetattrArgs{{}, {root_of(cell)}});
  CHECK_FAILS(asked, ErrorCode::Conflict);
  CHECK(asked.error().message.find("cache directory") != std::string::npos);
  fileproto::Attributes ignored;
  CHECK(second.look(root_of(cell), &ignored) != Taken::Older);
  CHECK(second->state() == SessionState::Open);
}

TEST_CASE("a session that is closed in order is waited for by nobody") {
  FileCell cell({.lease = 30'000ms});
  Mount one(cell.address());
  Mount two(cell.address());
  const common::SystemClock clock;
  const Fid file = one.make(root_of(cell), "a");
  REQUIRE(two.look(file) == Taken::Promised);
  CHECK_OK(two->close(clock.now() + 20s));
  CHECK(two.listener().told().all == 1);
  two.end();
  const auto began = clock.now();
  CHECK_OK(one.chmod(file, 0600));
  CHECK(clock.now() - began < 30s);  // a lease and its margin would be more
}

TEST_CASE("callers of one session are judged each by his own ticket") {
  FileCell cell;
  cell.add_user("bob", "a password of bob's own");
  Mount mount(cell.address());
  const auto bob = mount->caller(cell.address("bob", "a password of bob's own").source);
  const Fid root = root_of(cell);
  const Fid file = mount.make(root, "mine");
  REQUIRE_OK(mount.chmod(file, 0600));
  REQUIRE_OK(mount.chmod(root, 0755));
  fileproto::FetchArgs fetch;
  fetch.fid = file;
  fetch.ranges = {{0, 10}};
  const auto mine = mount->send(
      mount.me(), {.operation = "fetch", .args = fileproto::encode(fetch), .bytes = {}, .id = {}},
      {});
  CHECK_OK(mine);
  const auto his = mount->send(
      *bob, {.operation = "fetch", .args = fileproto::encode(fetch), .bytes = {}, .id = {}}, {});
  CHECK_FAILS(his, ErrorCode::PermissionDenied);
  fileproto::Setattr change;
  change.fid = file;
  change.mode = 0666;
  CHECK_FAILS(mount->change(*bob, change, {.number = mount.next(), .named = {file}}),
              ErrorCode::PermissionDenied);
  // In the same session: what he asks for is promised, too.
  const auto asked = mount->ask(*bob, fileproto::GetattrArgs{{}, {root}});
  REQUIRE_OK(asked);
  CHECK(asked->result.state.grants.has_value());
}

TEST_CASE("who is not logged in is told so at once") {
  FileCell cell;
  auto address = cell.address();
  const auto began = common::SystemClock().now();
  common::SystemClock clock;
  Listener listener;
  fileclient::MountSessionOptions options;
  options.name = "fileserver1";
  options.connection.host = address.host;
  options.connection.port = address.port;
  options.connection.tls = address.tls;
  options.service = address.service;
  options.opener = std::make_shared<common::auth::CredentialSource>(
      common::auth::SourceOptions{.ticket = {}, .login = {}, .cache = {}, .clock = &clock});
  auto session = MountSession::start(std::move(options), listener, clock);
  REQUIRE_OK(session);
  const auto open =
      (*session)->wait_open({.deadline = clock.now() + 60s, .cancellation = nullptr, .id = {}});
  CHECK_FALSE(open);
  CHECK(clock.now() - began < 60s);
}
