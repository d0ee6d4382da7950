// What those may not who may not: use up room or ids, learn, go by what others were allowed.

#include <cerrno>

#include "common/fileproto/block_names.hpp"
#include "common/sim/random.hpp"
#include "common/wire/hex.hpp"
#include "fileserver/content/stagings.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

namespace rights_test {

using common::ErrorCode;
using common::NodeId;
using common::ticket::PrincipalId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
namespace store = fileserver::store;

namespace {

constexpr PrincipalId kAlice{10'001};
constexpr PrincipalId kBob{10'002};

std::string noise(std::size_t length, std::uint64_t seed) {
  common::sim::Random random(seed);
  std::string bytes(length, '\0');
  for (char& byte : bytes)
    byte = static_cast<char>(random.next());
  return bytes;
}

class RightsFixture : public ChangeFixture {
 public:
  void be(PrincipalId who) {
    identity.client = {who == kAlice ? "alice" : "bob", common::ticket::Kind::User, who};
  }
  void be_host() {
    identity.client = {"host/h", common::ticket::Kind::Host, PrincipalId{10'050}};
    fileserver::VolumePolicy policy;
    policy.trusted_hosts = {identity.client.id};
    REQUIRE_OK(set->set_policy(volume, policy));
    volume_ref = {};
  }
  NodeId directory(const std::string& name, std::uint32_t mode, NodeId in = kRootNode) {
    return made("mkdir", {{"dir", fid(in)}, {"name", name}, {"mode", mode}});
  }
  void set_mode(NodeId node, std::uint32_t mode) {
    store::CommitRequest request;
    request.operations = {store::SetAttributes{.node = node, .mode = mode}};
    REQUIRE_OK(store().commit(request));
    volume_ref.generation().begin();
    volume_ref.generation().end();
  }
  common::Result<json> with_bytes(std::string_view operation, json args, std::string_view bytes,
                                  const fileserver::FileSessionPtr& in = nullptr) {
    if (in)
      args["s"] = in->id.value;
    FakeCall one{peer, args, {0, ++number_}, soon(), bytes};
    const auto reply = run(one, operation, in);
    if (!reply)
      return tl::unexpected(reply.error());
    return json::parse(reply->result);
  }
  common::Result<json> put(NodeId node, std::string_view bytes,
                           const fileserver::FileSessionPtr& in = nullptr, json more = {}) {
    json args{{"fid", fid(node)},
              {"size", bytes.size()},
              {"edits", json::array({json::array({0, bytes.size()})})}};
    if (!more.is_null())
      args.update(more);
    return with_bytes("store", args, bytes, in);
  }
  json ranges() { return json::array({json::array({0, 100})}); }
  // What is on the disk in blocks, and how far node ids are given.
  struct Used {
    std::uint64_t segments = 0;
    std::uint64_t node = 0;
    std::uint64_t seq = 0;
    std::uint64_t reserved = 0;
    friend bool operator==(const Used&, const Used&) = default;
  };
  Used used() {
    const auto space = store().space();
    const auto node = store().grant_node_ids(1);
    const auto usage = store().usage();
    REQUIRE_OK(space);
    REQUIRE_OK(node);
    REQUIRE_OK(usage);
    // The one that was taken for the question.
    return {space->segments, node->value - ++asked_, store().last_seq().value,
            usage->reserved_bytes + usage->reserved_nodes};
  }

 private:
  std::uint64_t number_ = 3'000'000;
  std::uint64_t asked_ = 0;
};

}  // namespace

TEST_CASE_FIXTURE(RightsFixture, "who may not write leaves nothing behind, however he tries") {
  const auto mine = session(1);
  const NodeId closed = file("closed");
  const NodeId dir = directory("dir", 0755);
  REQUIRE_OK(put(closed, noise(1'000'000, 1)));
  const std::uint64_t base = store().attributes(closed)->data_version.value;
  be(kBob);
  const NodeId own = file("own");
  const Used before = used();
  const std::string bytes = noise(1 << 20, 2);
  CHECK_FAILS(put(closed, bytes), ErrorCode::PermissionDenied);
  CHECK_FAILS(put(closed, bytes, nullptr, {{"base", base}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(with_bytes("append", {{"fid", fid(closed)}, {"bytes", bytes.size()}}, bytes),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(done("setattr", {{"fid", fid(closed)}, {"size", 400'000}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(
      done("allocate",
           {{"fid", fid(closed)}, {"offset", 5'000}, {"length", 500'000}, {"mode", "zero"}}),
      ErrorCode::PermissionDenied);
  CHECK_FAILS(done("copy-range", {{"from", fid(closed)},
                                  {"from_offset", 1},
                                  {"length", 900'000},
                                  {"to", fid(closed)},
                                  {"to_offset", 7}}),
              ErrorCode::PermissionDenied);
  const json create{{"dir", fid(dir)}, {"name", "x"}, {"mode", 0644}, {"bytes", bytes.size()}};
  CHECK_FAILS(with_bytes("create", create, bytes), ErrorCode::PermissionDenied);
  for (const char* operation : {"mkdir", "symlink", "mknod"}) {
    json args{{"dir", fid(dir)}, {"name", "x"}, {"mode", 0755}};
    if (operation == std::string_view("symlink"))
      args["target"] = "x";
    if (operation == std::string_view("mknod"))
      args["kind"] = "p";
    CHECK_FAILS(done(operation, args), ErrorCode::PermissionDenied);
  }
  CHECK_FAILS(done("create",
                   {{"dir", fid(dir)},
                    {"name", "x"},
                    {"mode", 0644},
                    {"handle", 1},
                    {"grow", 1'000},
                    {"seen", 1'000'000}},
                   mine),
              ErrorCode::PermissionDenied);
  // One that may and one that may not are none.
  json steps = json::array({{{"op", "store"},
                             {"fid", fid(own)},
                             {"size", bytes.size()},
                             {"edits", json::array({json::array({0, bytes.size()})})}},
                            {{"op", "unlink"}, {"dir", fid(dir)}, {"name", "nothing"}}});
  CHECK_FAILS(with_bytes("batch", {{"do", steps}}, bytes), ErrorCode::PermissionDenied);
  // Nor does what cannot be, for whoever may.
  CHECK_FAILS(done("mkdir", {{"dir", fid(kRootNode)}, {"name", "dir"}, {"mode", 0755}}),
              ErrorCode::AlreadyExists);
  CHECK((used() == before));
  CHECK_OK(put(own, bytes));
  CHECK(used().segments >= before.segments + bytes.size());
}

TEST_CASE_FIXTURE(RightsFixture, "F54: who keeps sending what is not what he says is not heard") {
  const auto mine = session(1);
  const auto staged = asked("stage-open", {{"volume", volume.value}, {"size", 1'000}}, mine);
  REQUIRE_OK(staged);
  const std::string bytes = noise(1'000, 1);
  const auto digest = common::fileproto::hash_of_piece(0, common::as_bytes(bytes));
  REQUIRE_OK(digest);
  const std::string right = common::wire::to_hex(*digest);
  const auto write = [&](const std::string& hash) {
    return with_bytes("stage-write",
                      {{"staging", (*staged)["staging"]}, {"offset", 0}, {"hash", hash}}, bytes);
  };
  // In a session operations name none; whose staging it is, the connection says.
  const auto in_session = [&](const std::string& hash) {
    const json args{{"staging", (*staged)["staging"]}, {"offset", 0}, {"hash", hash}};
    FakeCall one{peer, args, {}, soon(), bytes};
    return run(one, "stage-write", mine);
  };
  CHECK_FAILS(write(right), ErrorCode::NotFound);
  const std::string wrong(64, '0');
  int heard = 0;
  while (heard < 100 && in_session(wrong).error().code == ErrorCode::Corrupt)
    ++heard;
  CHECK(heard == 16);
  const auto refused = in_session(right);
  CHECK_FAILS(refused, ErrorCode::Overloaded);
  CHECK(refused.error().retry_after.count() > 0);
}

TEST_CASE_FIXTURE(RightsFixture, "a right that is taken away while a change waits is not used") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  be(kBob);
  set_mode(node, 0666);
  json args{{"fid", fid(node)}, {"size", 5}, {"edits", json::array({json::array({0, 5})})}};
  FakeCall waits{peer, args, {0, 9}, soon(), "bytes"};
  REQUIRE(run(waits, "store")->parked);
  set_mode(node, 0644);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK_FAILS(run(waits, "store"), ErrorCode::PermissionDenied);
  CHECK(store().attributes(node)->size == 0);
}

TEST_CASE_FIXTURE(RightsFixture, "what one local user of a host has open is no other's") {
  const auto mine = session(1);
  be_host();
  const json root_user{{"uid", 0}, {"gid", 0}};
  const json user{{"uid", 1'000}, {"gid", 1'000}};
  const NodeId node = made(
      "create", {{"dir", fid(kRootNode)}, {"name", "secret"}, {"mode", 0600}, {"as", root_user}});
  REQUIRE_OK(put(node, "secret", nullptr, {{"as", root_user}}));
  REQUIRE_OK(
      asked("open", {{"fid", fid(node)}, {"handle", 1}, {"write", true}, {"as", root_user}}, mine));
  const auto fetch = [&](const json& as) {
    return asked("fetch", {{"fid", fid(node)}, {"ranges", ranges()}, {"as", as}}, mine);
  };
  CHECK_OK(fetch(root_user));
  CHECK_FAILS(fetch(user), ErrorCode::PermissionDenied);
  CHECK_FAILS(fetch("anyuser"), ErrorCode::PermissionDenied);
  CHECK_FAILS(put(node, "mine", mine, {{"as", user}, {"seen", 1'000'000}}),
              ErrorCode::PermissionDenied);
  // Unlinked, it is still nobody's but his.
  store::CommitRequest unlink;
  unlink.operations = {store::Unlink{kRootNode, "secret"}};
  REQUIRE_OK(store().commit(unlink));
  const auto look = [&](const json& as) {
    return (*asked("getattr", {{"fids", json::array({fid(node)})}, {"as", as}}, mine))["nodes"][0];
  };
  CHECK_FALSE(look(root_user).contains("error"));
  CHECK(look(user)["error"]["code"] == "not_found");
  // Nor is it his to let go.
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1}}, {"as", user}}, mine));
  CHECK_FALSE(look(root_user).contains("error"));
  be(kBob);
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1}}}, mine));
  be_host();
  CHECK_FALSE(look(root_user).contains("error"));
  // The host knows which files of its users are closed.
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1}}}, mine));
  CHECK(look(root_user).contains("error"));
}

TEST_CASE_FIXTURE(RightsFixture, "what one local user of a host uploads is no other's") {
  const auto mine = session(1);
  be_host();
  const json one{{"uid", 1'001}, {"gid", 1'001}};
  const json other{{"uid", 1'002}, {"gid", 1'002}};
  const auto staged =
      asked("stage-open", {{"volume", volume.value}, {"size", 100}, {"as", one}}, mine);
  REQUIRE_OK(staged);
  const json staging = (*staged)["staging"];
  const auto state = [&](const json& as) {
    return asked("stage-state", {{"staging", staging}, {"as", as}}, mine);
  };
  CHECK_OK(state(one));
  CHECK_FAILS(state(other), ErrorCode::NotFound);
  CHECK_FAILS(state("anyuser"), ErrorCode::NotFound);
  const NodeId node =
      made("create", {{"dir", fid(kRootNode)}, {"name", "f"}, {"mode", 0644}, {"as", other}});
  const json take{
      {"fid", fid(node)}, {"size", 0}, {"staging", staging[1]}, {"as", other}, {"seen", 1'000'000}};
  CHECK_FAILS(with_bytes("store", take, {}, mine), ErrorCode::NotFound);
  CHECK_OK(asked("stage-drop", {{"staging", staging}, {"as", other}}, mine));
  CHECK_OK(state(one));
  CHECK_OK(asked("stage-drop", {{"staging", staging}, {"as", one}}, mine));
  CHECK_FAILS(state(one), ErrorCode::NotFound);
  // Whom the volume does not trust speaks for nobody.
  REQUIRE_OK(set->set_policy(volume, {}));
  CHECK_FAILS(state(one), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(RightsFixture, "R27: what is read of the past is open now, too") {
  const NodeId dir = directory("dir", 0755);
  const NodeId open = directory("open", 0777);
  const NodeId node = file("a", dir);
  const NodeId link =
      made("symlink", {{"dir", fid(dir)}, {"name", "l"}, {"mode", 0777}, {"target", "/somewhere"}});
  const NodeId moves = file("moves", open);
  const NodeId goes = file("goes", dir);
  REQUIRE_OK(done("set-xattr", {{"fid", fid(node)}, {"name", "user.x"}, {"value", "1"}}));
  const std::uint64_t then = store().last_seq().value;
  REQUIRE_OK(done("unlink", {{"dir", fid(dir)}, {"name", "goes"}}));
  REQUIRE_OK(done("rename",
                  {{"dir", fid(open)}, {"name", "moves"}, {"to", fid(dir)}, {"to_name", "moves"}}));
  struct Read {
    const char* operation;
    json args;
  };
  const std::vector<Read> reads{
      {"lookup", {{"dir", fid(dir)}, {"name", "a"}}},
      {"list", {{"dir", fid(dir)}, {"limit", 100}}},
      {"readlink", {{"fid", fid(link)}}},
      {"xattr", {{"fid", fid(node)}, {"name", "user.x"}}},
      {"xattrs", {{"fid", fid(node)}}},
      {"acl", {{"fid", fid(node)}}},
      {"access", {{"fid", fid(node)}}},
      {"whynot", {{"operation", "read"}, {"fid", fid(node)}}},
      {"fetch", {{"fid", fid(node)}, {"ranges", ranges()}}},
  };
  const auto ask = [&](const Read& read) {
    json args = read.args;
    args["at"] = then;
    return asked(read.operation, args);
  };
  const auto names = [&](NodeId of) {
    json all = json::array();
    const auto listed = asked("list", {{"dir", fid(of)}, {"limit", 100}, {"at", then}});
    REQUIRE_OK(listed);
    for (const json& entry : (*listed)["entries"])
      all.push_back(entry["name"]);
    return all;
  };
  const auto attributes = [&](NodeId of) {
    return (*asked("getattr", {{"fids", json::array({fid(of)})}, {"at", then}}))["nodes"][0];
  };
  be(kBob);
  for (const Read& read : reads)
    CHECK_MESSAGE(ask(read).has_value(), read.operation);
  CHECK(names(dir) == json::array({"a", "goes", "l"}));
  CHECK(names(open) == json::array({"moves"}));
  CHECK_FALSE(attributes(goes).contains("error"));
  CHECK_FALSE(attributes(moves).contains("error"));

  set_mode(dir, 0700);
  for (const Read& read : reads)
    CHECK_MESSAGE(!ask(read), read.operation);
  CHECK(attributes(node).contains("error"));
  CHECK(attributes(goes).contains("error"));
  CHECK(attributes(moves).contains("error"));
  CHECK(names(open).empty());
  CHECK_FAILS(asked("lookup", {{"dir", fid(open)}, {"name", "moves"}, {"at", then}}),
              ErrorCode::NotFound);
  const auto walked =
      asked("walk", {{"from", fid(kRootNode)}, {"names", {"dir", "a"}}, {"at", then}});
  REQUIRE_OK(walked);
  CHECK((*walked)["steps"].size() == 1);
  const auto again =
      asked("revalidate", {{"nodes", json::array({json::array({fid(node), 1})})}, {"at", then}});
  REQUIRE_OK(again);
  CHECK(again->value("gone", json()) == json::array({node.value}));
  // The owner may, whatever has gone.
  be(kAlice);
  for (const Read& read : reads)
    CHECK_MESSAGE(ask(read).has_value(), read.operation);
  CHECK(names(open) == json::array({"moves"}));
}

TEST_CASE_FIXTURE(RightsFixture, "R27: what is open now was not open for that reason then") {
  const auto mine = session(1);
  const NodeId node = file("a");
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
  REQUIRE_OK(put(node, "secret"));
  const std::uint64_t then = store().last_seq().value;
  REQUIRE_OK(put(node, "for all"));
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0644}}));
  const auto fetch = [&](json more) {
    json args{{"fid", fid(node)}, {"ranges", ranges()}};
    args.update(more);
    return asked("fetch", args, mine);
  };
  be(kBob);
  REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", 1}}, mine));
  CHECK_OK(fetch(json::object()));
  CHECK_FAILS(fetch({{"version", then}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(fetch({{"at", then}}), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(RightsFixture,
                  "what one local user of a host made without a name no other gets by its number") {
  const auto mine = session(1);
  const auto later = session(2);
  later->mount = mine->mount;
  be_host();
  const auto create = [&](const fileserver::FileSessionPtr& in, std::uint32_t uid) {
    const json args{{"dir", fid(kRootNode)}, {"mode", 0600},
                    {"handle", 5},           {"s", in->id.value},
                    {"seen", 1'000'000},     {"as", {{"uid", uid}, {"gid", uid}}}};
    FakeCall one = call(args, 77);
    return run(one, "create", in);
  };
  REQUIRE_OK(create(mine, 1'001));
  CHECK(mine->held.lock()->handles.size() == 1);
  REQUIRE_OK(create(later, 1'002));
  CHECK(later->held.lock()->handles.empty());
  REQUIRE_OK(create(later, 1'001));
  CHECK(later->held.lock()->handles.size() == 1);
}

TEST_CASE_FIXTURE(RightsFixture, "R27: what was closed before it went stays closed") {
  const NodeId dir = directory("dir", 0755);
  const NodeId node = file("a", dir);
  REQUIRE_OK(put(node, "for all"));
  const std::uint64_t then = store().last_seq().value;
  const auto fetch = [&] {
    return asked("fetch", {{"fid", fid(node)}, {"ranges", ranges()}, {"at", then}});
  };
  SUBCASE("the file") {
    REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
    REQUIRE_OK(done("unlink", {{"dir", fid(dir)}, {"name", "a"}}));
    be(kBob);
    CHECK_FALSE(fetch());
  }
  SUBCASE("the directory that went with it") {
    REQUIRE_OK(done("setattr", {{"fid", fid(dir)}, {"mode", 0700}}));
    REQUIRE_OK(done("unlink", {{"dir", fid(dir)}, {"name", "a"}}));
    REQUIRE_OK(done("rmdir", {{"dir", fid(kRootNode)}, {"name", "dir"}}));
    be(kBob);
    CHECK_FALSE(fetch());
  }
  SUBCASE("and what was open to the end is open") {
    REQUIRE_OK(done("unlink", {{"dir", fid(dir)}, {"name", "a"}}));
    REQUIRE_OK(done("rmdir", {{"dir", fid(kRootNode)}, {"name", "dir"}}));
    be(kBob);
    CHECK_OK(fetch());
  }
}

TEST_CASE_FIXTURE(RightsFixture, "R27: history tells of versions that were open when they were") {
  const NodeId node = file("a");
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
  REQUIRE_OK(put(node, "secret"));
  REQUIRE_OK(put(node, "for all"));
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0644}}));
  const auto sizes = [&] {
    json all = json::array();
    const auto told = asked("history", {{"fid", fid(node)}, {"limit", 100}});
    REQUIRE_OK(told);
    for (const json& version : (*told)["versions"])
      all.push_back(version["node"]["s"]);
    return all;
  };
  CHECK(sizes() == json::array({7, 7, 6, 0, 0}));
  be(kBob);
  CHECK(sizes() == json::array({7, 0}));
}

TEST_CASE_FIXTURE(RightsFixture,
                  "a volume that is closed to somebody gives and tells him nothing") {
  const auto mine = session(1);
  const auto other = session(2);
  const auto answer = done("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
  REQUIRE_OK(answer);
  const json sync{{"volume", volume.value}, {"epoch", (*answer)["e"]}, {"seq", (*answer)["seq"]}};
  struct Asked {
    const char* operation;
    json args;
  };
  const std::vector<Asked> all{
      {"node-ids", {{"volume", volume.value}, {"count", 10}}},
      {"reserve", {{"volume", volume.value}, {"nodes", 1}, {"bytes", 1'000}}},
      {"statfs", {{"volume", volume.value}}},
      {"seq-at", {{"volume", volume.value}, {"time", INT64_MAX}}},
      {"fsync", sync},
      {"stage-open", {{"volume", volume.value}, {"size", 10}}},
  };
  be(kBob);
  // What he has open he may still wait for.
  const NodeId node = file("a");
  REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", 1}}, other));
  for (const Asked& each : all)
    CHECK_MESSAGE(asked(each.operation, each.args, mine).has_value(), each.operation);
  REQUIRE_OK(asked("reserve",
                   {{"volume", volume.value}, {"nodes", 0}, {"bytes", 0}, {"lower", true}}, mine));
  set_mode(kRootNode, 0700);
  const Used before = used();
  for (const Asked& each : all) {
    const auto refused = asked(each.operation, each.args, mine);
    CHECK_MESSAGE(!refused, each.operation);
    if (!refused)
      CHECK_MESSAGE(refused.error().code == ErrorCode::PermissionDenied, each.operation);
  }
  CHECK((used() == before));
  CHECK_OK(asked("fsync", sync, other));
}

TEST_CASE_FIXTURE(RightsFixture, "R29: nobody asks for all node ids there are") {
  const auto mine = session(1);
  const json args{{"volume", volume.value}, {"count", 65'536}};
  int given = 0;
  common::Error refused;
  for (; given < 100; ++given) {
    const auto ids = asked("node-ids", args, mine);
    if (!ids) {
      refused = ids.error();
      break;
    }
  }
  CHECK(given >= 16);
  REQUIRE(given < 100);
  CHECK(refused.code == ErrorCode::Overloaded);
  CHECK(refused.retry_after.count() > 0);
  // Another has his own, and what he makes nodes of is not missed.
  be(kBob);
  CHECK_OK(asked("node-ids", args, mine));
}

TEST_CASE_FIXTURE(RightsFixture, "R8: all sessions of one keep a quarter of what is left") {
  identity.groups.push_back(common::ticket::kAdministrators);
  REQUIRE_OK(done("volume-quota", {{"name", "data"}, {"bytes", 1'000'000}, {"nodes", 1'000}}));
  identity.groups.clear();
  const auto open = [&](unsigned number) {
    store::MountId mount;
    mount.bytes[1] = static_cast<std::byte>(number);
    auto opened = sessions->open(identity.client, mount);
    REQUIRE_OK(opened);
    return *opened;
  };
  const auto reserve = [&](const fileserver::FileSessionPtr& in, std::uint64_t nodes,
                           std::uint64_t bytes) {
    return asked("reserve", {{"volume", volume.value}, {"nodes", nodes}, {"bytes", bytes}}, in);
  };
  const auto errno_of = [](const auto& refused) {
    REQUIRE_FALSE(refused);
    return refused.error().error_number;
  };
  const auto first = open(1);
  const auto second = open(2);
  be(kBob);
  const auto third = open(3);
  be(kAlice);
  CHECK_OK(reserve(first, 100, 150'000));
  CHECK(errno_of(reserve(second, 0, 150'000)) == EDQUOT);
  CHECK(errno_of(reserve(second, 200, 0)) == EDQUOT);
  CHECK_OK(reserve(second, 100, 90'000));
  // Of what others have taken nothing is left.
  be(kBob);
  CHECK(errno_of(reserve(third, 0, 200'000)) == EDQUOT);
  CHECK_OK(reserve(third, 0, 180'000));
  // Room is for who writes.
  const NodeId node = file("a");
  CHECK_FAILS(asked("open", {{"fid", fid(node)}, {"handle", 1}, {"grow", 1'000}}, third),
              ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(RightsFixture, "a file without a name is held from its beginning on") {
  const auto mine = session(1);
  // Also by the volumes' own thread, beside us.
  const auto reap = [&](NodeId node) {
    for (const auto deadline = soon(); store().attributes(node) && clock.now() < deadline;)
      REQUIRE_OK(store().maintain());
  };
  store::CommitRequest request;
  request.caller.session = mine->id;
  const auto id = store().grant_node_ids(3);
  REQUIRE_OK(id);
  const NodeId pinned = *id;
  const NodeId kept{id->value + 1};
  const NodeId free{id->value + 2};
  for (const NodeId node : {pinned, kept, free}) {
    store::Create create;
    create.node = node;
    request.operations.emplace_back(create);
  }
  const std::int64_t later = clock.wall_now().time_since_epoch().count() + 3'600'000'000'000;
  request.holds = {{.node = pinned, .pin = true, .keeper = {}, .until = 0},
                   {.node = kept, .pin = false, .keeper = mine->mount, .until = later}};
  const auto done = store().commit(request);
  REQUIRE_OK(done);
  reap(free);
  CHECK_OK(store().attributes(pinned));
  CHECK_OK(store().attributes(kept));
  CHECK_FAILS(store().attributes(free), ErrorCode::NotFound);
  CHECK_OK(store().unpin(mine->id, pinned, done->seq));
  reap(pinned);
  CHECK_FAILS(store().attributes(pinned), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(RightsFixture, "a condition is about the volume of its change") {
  const auto other = make("other");
  const NodeId node = file("a");
  const std::uint64_t version = store().attributes(node)->version.value;
  const json elsewhere = json::array({other->id.value, node.value});
  const auto change = [&](json condition) {
    return done("setattr",
                {{"fid", fid(node)}, {"mode", 0600}, {"if", json::array({std::move(condition)})}});
  };
  for (const json& condition :
       {json{{"version", json::array({elsewhere, version})}},
        json{{"data", json::array({elsewhere, version})}},
        json{{"name", json::array({json::array({other->id.value, 1}), "a", node.value})}}}) {
    const auto refused = change(condition);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().error_number == EXDEV);
  }
  CHECK_OK(change({{"version", json::array({fid(node), version})}}));
}

TEST_CASE_FIXTURE(RightsFixture, "whynot tells of what is hidden as of what never was") {
  const NodeId closed = directory("closed", 0700);
  const NodeId node = file("secret", closed);
  const NodeId below = directory("below", 0755, closed);
  be(kBob);
  const auto why = [&](NodeId of, json more = {}) {
    json args{{"operation", "read"}, {"fid", fid(of)}};
    if (!more.is_null())
      args.update(more);
    return asked("whynot", args);
  };
  const auto never = why(NodeId{999'999});
  CHECK_FAILS(never, ErrorCode::NotFound);
  for (const auto& hidden : {why(node), why(below), why(below, {{"name", "x"}})}) {
    REQUIRE_FALSE(hidden);
    CHECK(hidden.error().code == ErrorCode::NotFound);
    CHECK(hidden.error().message == never.error().message);
  }
  // The closed directory itself is there for all to see, and says what it does.
  const auto told = why(closed, {{"name", "secret"}});
  REQUIRE_OK(told);
  CHECK_FALSE((*told).value("allowed", false));
}

TEST_CASE_FIXTURE(RightsFixture, "what a batch would have made opens no way if it is not made") {
  const auto mine = session(1);
  const auto ids = asked("node-ids", {{"volume", volume.value}, {"count", 10}}, mine);
  REQUIRE_OK(ids);
  const NodeId d{(*ids)["first"].get<std::uint64_t>()};
  const auto make_d = [&](std::uint32_t mode) {
    return json{
        {"op", "mkdir"}, {"dir", fid(kRootNode)}, {"name", "d"}, {"mode", mode}, {"node", d.value}};
  };
  be(kBob);
  const NodeId e{d.value + 1};
  const json steps = {
      make_d(0777),
      {{"op", "mkdir"}, {"dir", fid(d)}, {"name", "e"}, {"mode", 0755}, {"node", e.value}},
      {{"op", "mkdir"}, {"dir", fid(e)}, {"name", "f"}, {"mode", 0755}, {"node", e.value + 1}},
      {{"op", "rmdir"}, {"dir", fid(kRootNode)}, {"name", "nothing"}}};
  CHECK_FAILS(done("batch", {{"do", steps}, {"seen", 1'000'000}}, mine), ErrorCode::NotFound);
  be(kAlice);
  REQUIRE_OK(done("batch", {{"do", json::array({make_d(0700)})}, {"seen", 1'000'000}}, mine));
  const NodeId node = file("secret", d);
  be(kBob);
  const auto seen = asked("getattr", {{"fids", json::array({fid(node)})}});
  REQUIRE_OK(seen);
  CHECK((*seen)["nodes"][0].contains("error"));
}

}  // namespace rights_test
