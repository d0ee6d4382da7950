// What sessions hold: open files, room, node ids.

#include "tests/support/eventually.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::NodeId;
using common::ticket::PrincipalId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
namespace store = fileserver::store;

TEST_CASE_FIXTURE(ChangeFixture,
                  "an open file keeps what its caller was allowed, and its version") {
  const auto mine = session(1);
  const NodeId node = file("a");
  const json args{{"fid", fid(node)}, {"handle", 5}, {"write", true}};
  CHECK_FAILS(asked("open", args), ErrorCode::Stale);
  const auto opened = asked("open", args, mine);
  REQUIRE_OK(opened);
  CHECK((*opened)["node"]["p"] == 1);
  CHECK((*opened)["node"]["c"].get<std::string>().size() == 64);
  // Repeated after a lost answer.
  CHECK_OK(asked("open", args, mine));
  // The number is that file's.
  const NodeId other = file("b");
  CHECK_FAILS(asked("open", {{"fid", fid(other)}, {"handle", 5}}, mine), ErrorCode::AlreadyExists);
  const json create{{"dir", fid(kRootNode)}, {"name", "c"}, {"mode", 0644}, {"handle", 5}};
  CHECK_FAILS(done("create", create, mine), ErrorCode::AlreadyExists);
  CHECK_FAILS(store().lookup(kRootNode, "c"), ErrorCode::NotFound);
  // R25: its name goes, and it can still be looked at by who has it open.
  store::CommitRequest unlink;
  unlink.operations = {store::Unlink{kRootNode, "a"}};
  REQUIRE_OK(store().commit(unlink));
  const json look{{"fids", json::array({fid(node)})}};
  CHECK((*asked("getattr", look, mine))["nodes"][0]["l"] == 0);
  CHECK((*asked("getattr", look))["nodes"][0]["error"]["code"] == "not_found");
  // It is its caller's, not everybody's who uses the same mount.
  const PrincipalId alice = identity.client.id;
  identity.client.id = PrincipalId{10'002};
  CHECK((*asked("getattr", look, mine))["nodes"][0].contains("error"));
  identity.client.id = alice;
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {5, 6}}}, mine));
  CHECK((*asked("getattr", look, mine))["nodes"][0].contains("error"));
}

TEST_CASE_FIXTURE(ChangeFixture, "who may not read or write does not open for it") {
  const auto mine = session(1);
  const NodeId node = file("a");
  identity.client.id = PrincipalId{10'002};
  CHECK_FAILS(asked("open", {{"fid", fid(node)}, {"handle", 1}, {"write", true}}, mine),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(
      asked("open",
            {{"fid", fid(node)}, {"handle", 1}, {"write", true}, {"append", true}, {"read", false}},
            mine),
      ErrorCode::PermissionDenied);
  CHECK_OK(asked("open", {{"fid", fid(node)}, {"handle", 1}}, mine));
  const auto directory =
      asked("open", {{"fid", fid(kRootNode)}, {"handle", 2}, {"write", true}}, mine);
  REQUIRE_FALSE(directory);
  CHECK(directory.error().error_number == EISDIR);
  // What was open before a restart is judged again.
  const auto again =
      asked("reopen", {{"handles", json::array({json::array({7, fid(node), 1, true})})}}, mine);
  REQUIRE_OK(again);
  CHECK((*again)["lost"].size() == 1);
}

TEST_CASE_FIXTURE(
    ChangeFixture,
    "R27: what was allowed once opens nothing that is not allowed now, nor back then") {
  const auto mine = session(1);
  const auto theirs = session(2);
  const auto bytes_of = [&](std::uint64_t node, const char* bytes) {
    store::Volume::WriteRequest write;
    write.node = NodeId{node};
    write.replace = true;
    store::Edit edit;
    edit.bytes = common::as_bytes(std::string_view(bytes));
    write.edits = std::span(&edit, 1);
    const auto done = store().write(write);
    REQUIRE_OK(done);
    return done->seq.value;
  };
  const auto set_mode = [&](NodeId node, std::uint32_t mode) {
    REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", mode}}));
  };
  const auto alice = identity.client.id;
  const NodeId closed = file("closed");
  set_mode(closed, 0666);
  const std::uint64_t open_then = store().last_seq().value;
  set_mode(closed, 0600);
  bytes_of(closed.value, "secret now");
  const NodeId opened = file("opened");
  set_mode(opened, 0600);
  const std::uint64_t closed_then = bytes_of(opened.value, "secret then");
  bytes_of(opened.value, "for all");
  set_mode(opened, 0666);
  const auto reopen = [&](json handle, std::optional<std::uint64_t> at = {}) {
    json args{{"handles", json::array({std::move(handle)})}};
    if (at)
      args["at"] = *at;
    return asked("reopen", args, theirs);
  };

  identity.client.id = PrincipalId{10'002};
  CHECK_FAILS(asked("open", {{"fid", fid(closed)}, {"handle", 1}, {"at", open_then}}, theirs),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(reopen({2, fid(closed), open_then, true}, open_then), ErrorCode::InvalidArgument);
  const auto wide = reopen({3, fid(closed), open_then, true});
  REQUIRE_OK(wide);
  CHECK(wide->contains("lost"));
  const auto old = reopen({4, fid(opened), closed_then, false});
  REQUIRE_OK(old);
  CHECK(old->contains("lost"));
  CHECK(theirs->held.lock()->handles.empty());

  // Who may, does: what is there now, and what was his to read then.
  identity.client.id = alice;
  CHECK_OK(asked("open", {{"fid", fid(closed)}, {"handle", 1}, {"at", open_then}}, mine));
  const auto again =
      asked("reopen",
            {{"handles", json::array({json::array({2, fid(opened), closed_then, true})})}}, mine);
  REQUIRE_OK(again);
  CHECK_FALSE(again->contains("lost"));
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "a create that is repeated opens its file for what its maker may do now") {
  const auto mine = session(1);
  const auto later = session(2);
  later->mount = mine->mount;
  const json args{
      {"dir", fid(kRootNode)}, {"name", "a"}, {"mode", 0644}, {"handle", 5}, {"seen", 1'000'000}};
  const auto create = [&](const fileserver::FileSessionPtr& in) {
    json with = args;
    with["s"] = in->id.value;
    auto one = call(with, 77);
    const auto reply = run(one, "create", in);
    REQUIRE_OK(reply);
    return json::parse(reply->result);
  };
  const json first = create(mine);
  const NodeId node{first["done"][0]["node"].get<std::uint64_t>()};
  CHECK(mine->held.lock()->handles.size() == 1);
  keeper().end_session(mine->id, fileserver::SessionOver::Why::Closed);
  SUBCASE("as before") {
    CHECK(create(later)["replayed"] == true);
    CHECK(later->held.lock()->handles.at(5).write);
  }
  SUBCASE("it belongs to somebody else by now") {
    store::CommitRequest take;
    take.operations = {store::SetAttributes{.node = node, .mode = 0600, .uid = 10'002}};
    REQUIRE_OK(store().commit(take));
    CHECK(create(later)["replayed"] == true);
    CHECK(later->held.lock()->handles.empty());
  }
  SUBCASE("it is gone by now") {
    store::CommitRequest take;
    take.operations = {store::Unlink{kRootNode, "a"}};
    REQUIRE_OK(store().commit(take));
    CHECK(create(later)["replayed"] == true);
    CHECK(later->held.lock()->handles.empty());
  }
}

TEST_CASE_FIXTURE(ChangeFixture, "no size is set to what the same batch makes") {
  const auto mine = session(1);
  const auto ids = asked("node-ids", {{"volume", volume.value}, {"count", 10}}, mine);
  REQUIRE_OK(ids);
  const NodeId node{(*ids)["first"].get<std::uint64_t>()};
  const json steps = {{{"op", "create"},
                       {"dir", fid(kRootNode)},
                       {"name", "a"},
                       {"mode", 0644},
                       {"node", node.value}},
                      {{"op", "setattr"}, {"fid", fid(node)}, {"size", 5}}};
  const json args{{"do", steps}, {"s", mine->id.value}, {"seen", 1'000'000}};
  FakeCall both{peer, args, {0, 99}, clock.now() + std::chrono::seconds(20)};
  CHECK_FAILS(run(both, "batch", mine), ErrorCode::InvalidArgument);
  CHECK_FAILS(store().lookup(kRootNode, "a"), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "a directory gets its parent's list also if one batch makes both of them") {
  const auto mine = session(1);
  const auto ids = asked("node-ids", {{"volume", volume.value}, {"count", 10}}, mine);
  REQUIRE_OK(ids);
  const NodeId d{(*ids)["first"].get<std::uint64_t>()};
  const NodeId e{d.value + 1};
  const NodeId above = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "above"}, {"mode", 0755}});
  const json list =
      json::array({{{"who", "user"}, {"id", identity.client.id.value}, {"rights", "rlidwka"}}});
  REQUIRE_OK(done("set-acl", {{"fid", fid(above)}, {"entries", list}}));
  const json steps = {
      {{"op", "mkdir"}, {"dir", fid(above)}, {"name", "d"}, {"mode", 0777}, {"node", d.value}},
      {{"op", "mkdir"}, {"dir", fid(d)}, {"name", "e"}, {"mode", 0777}, {"node", e.value}}};
  REQUIRE_OK(done("batch", {{"do", steps}, {"seen", 1'000'000}}, mine));
  const auto lists = [&](NodeId node) { return (*asked("acl", {{"fid", fid(node)}}))["acl"]; };
  CHECK(lists(d) == lists(above));
  CHECK(lists(e) == lists(above));
}

TEST_CASE_FIXTURE(ChangeFixture, "R29: node ids are the mount's that asked for them, for good") {
  const auto mine = session(1);
  const auto other = session(2);
  const auto ids = asked("node-ids", {{"volume", volume.value}, {"count", 100}}, mine);
  REQUIRE_OK(ids);
  const std::uint64_t first = (*ids)["first"];
  const auto create = [&](const char* name, std::uint64_t node, const auto& in) {
    return done("mkdir",
                {{"dir", fid(kRootNode)},
                 {"name", name},
                 {"mode", 0755},
                 {"node", node},
                 {"seen", 1'000'000}},
                in);
  };
  CHECK_OK(create("a", first, mine));
  CHECK_FAILS(create("b", first + 1, other), ErrorCode::PermissionDenied);
  CHECK_FAILS(create("b", first + 100, mine), ErrorCode::PermissionDenied);
  // Each is good once.
  CHECK_FALSE(create("b", first, mine));
  // Another session of the same mount.
  keeper().end_session(mine->id, fileserver::SessionOver::Why::Closed);
  const auto later = std::make_shared<fileserver::FileSession>();
  later->id = common::SessionId{3};
  later->mount = mine->mount;
  REQUIRE_OK(keeper().open_session(later->id));
  CHECK_OK(create("b", first + 1, later));
  CHECK_FALSE(asked("node-ids", {{"volume", volume.value}, {"count", 0}}, mine));
}

TEST_CASE_FIXTURE(ChangeFixture, "R8: what was reserved is there for its session alone") {
  const auto mine = session(1);
  const auto other = session(2);
  identity.groups.push_back(common::ticket::kAdministrators);
  REQUIRE_OK(done("volume-quota", {{"name", "data"}, {"bytes", 1'000'000}, {"nodes", 1'000}}));
  const auto kept =
      asked("reserve", {{"volume", volume.value}, {"nodes", 10}, {"bytes", 200'000}}, mine);
  REQUIRE_OK(kept);
  CHECK((*kept)["bytes"] == 200'000);
  CHECK_FALSE(asked("reserve", {{"volume", volume.value}, {"nodes", 0}, {"bytes", 900'000}}, mine));
  const auto seen = asked("statfs", {{"volume", volume.value}}, other);
  const auto own = asked("statfs", {{"volume", volume.value}}, mine);
  REQUIRE_OK(seen);
  CHECK((*own)["bytes_available"].get<std::uint64_t>() ==
        (*seen)["bytes_available"].get<std::uint64_t>() + 200'000);
  const auto lower =
      asked("reserve", {{"volume", volume.value}, {"nodes", 0}, {"bytes", 50'000}, {"lower", true}},
            mine);
  REQUIRE_OK(lower);
  CHECK((*lower)["bytes"] == 50'000);
  CHECK((*lower)["nodes"] == 0);
}

TEST_CASE_FIXTURE(ChangeFixture, "steps of a batch see what earlier ones have made and removed") {
  const auto mine = session(1);
  const auto ids = asked("node-ids", {{"volume", volume.value}, {"count", 10}}, mine);
  REQUIRE_OK(ids);
  const NodeId d{(*ids)["first"].get<std::uint64_t>()};
  const NodeId e{d.value + 1};
  const json make_d{
      {"op", "mkdir"}, {"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}, {"node", d.value}};
  const json make_e{
      {"op", "mkdir"}, {"dir", fid(d)}, {"name", "e"}, {"mode", 0755}, {"node", e.value}};
  const json remove_d{{"op", "rmdir"}, {"dir", fid(kRootNode)}, {"name", "d"}};
  const json remove_e{{"op", "rmdir"}, {"dir", fid(d)}, {"name", "e"}};
  const auto batch = [&](const json& steps) {
    return done("batch", {{"do", steps}, {"seen", 1'000'000}}, mine);
  };
  const auto error_of = [](const auto& refused) {
    REQUIRE_FALSE(refused);
    return refused.error().error_number;
  };
  CHECK(error_of(batch({make_d, make_e, remove_d})) == ENOTEMPTY);
  CHECK(error_of(batch({make_d, make_e, make_e})) == EEXIST);
  CHECK_OK(batch({make_d, make_e}));
  CHECK(error_of(batch({remove_d, remove_e})) == ENOTEMPTY);
  CHECK(error_of(batch({remove_e, remove_e, remove_d})) == ENOENT);
  CHECK(store().lookup(d, "e").has_value());
  CHECK_OK(batch({remove_e, remove_d}));
  CHECK_FAILS(store().lookup(kRootNode, "d"), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(ChangeFixture, "a quota of names refuses one more, and says what is used up") {
  identity.groups.push_back(common::ticket::kAdministrators);
  const auto usage = store().usage();
  REQUIRE_OK(usage);
  REQUIRE_OK(done("volume-quota", {{"name", "data"}, {"nodes", usage->nodes + 2}}));
  file("a");
  file("b");
  const auto refused = done("create", {{"dir", fid(kRootNode)}, {"name", "c"}, {"mode", 0644}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().error_number == EDQUOT);
  REQUIRE_OK(done("unlink", {{"dir", fid(kRootNode)}, {"name", "a"}}));
  CHECK_OK(done("create", {{"dir", fid(kRootNode)}, {"name", "c"}, {"mode", 0644}}));
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "fsync answers for the epoch that was asked about, or not at all") {
  const auto answer = done("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
  REQUIRE_OK(answer);
  const std::uint64_t epoch = (*answer)["e"];
  const std::uint64_t seq = (*answer)["seq"];
  const auto synced = asked("fsync", {{"volume", volume.value}, {"epoch", epoch}, {"seq", seq}});
  REQUIRE_OK(synced);
  CHECK((*synced)["stable"].get<std::uint64_t>() >= seq);
  CHECK_FAILS(asked("fsync", {{"volume", volume.value}, {"epoch", epoch + 1}, {"seq", seq}}),
              ErrorCode::Stale);
  CHECK_FAILS(asked("fsync", {{"volume", volume.value}, {"epoch", epoch}, {"seq", seq + 100}}),
              ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "R25, F66: what was open without a name is open after a restart of the server") {
  auto mine = session(1);
  const json nameless{{"dir", fid(kRootNode)}, {"mode", 0400}, {"handle", 1}, {"seen", 1'000'000}};
  auto created = done("create", nameless, mine);
  const auto is_there = [&] {
    return store()
        .attributes(NodeId{(*created)["done"][0]["node"].get<std::uint64_t>()})
        .has_value();
  };
  // Upkeep may have come between its commit and its pin.
  while (created && !is_there()) {
    CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1}}}, mine));
    created = done("create", nameless, mine);
  }
  REQUIRE_OK(created);
  const NodeId scratch{(*created)["done"][0]["node"].get<std::uint64_t>()};
  const std::uint64_t scratch_version = (*created)["seq"];
  std::uint64_t number = 5'000'000;
  const auto stored = [&](NodeId node) {
    const json args{{"fid", fid(node)},
                    {"size", 4},
                    {"edits", json::array({json::array({0, 4})})},
                    {"seen", 1'000'000},
                    {"s", mine->id.value}};
    FakeCall one{peer, args, {0, ++number}, clock.now() + std::chrono::seconds(20), "byte"};
    return run(one, "store", mine);
  };
  REQUIRE_OK(stored(scratch));
  const NodeId unlinked = file("unlinked");
  const auto opened = asked("open", {{"fid", fid(unlinked)}, {"handle", 2}, {"write", true}}, mine);
  REQUIRE_OK(opened);
  const std::uint64_t unlinked_version = (*opened)["node"]["v"];
  store::CommitRequest unlink;
  unlink.operations = {store::Unlink{kRootNode, "unlinked"}};
  REQUIRE_OK(store().commit(unlink));

  restart();
  const auto other = session(2);
  mine = back(mine);
  const auto reopen = [&](const auto& in, const json& handles) {
    const auto answer = asked("reopen", {{"handles", handles}}, in);
    REQUIRE_OK(answer);
    return answer->contains("lost") ? (*answer)["lost"].size() : 0;
  };
  const json both = {{1, fid(scratch), scratch_version, true},
                     {2, fid(unlinked), unlinked_version, true}};
  // Whoever did not have them open has not got them now.
  CHECK(reopen(other, both) == 2);
  const auto alice = identity.client.id;
  identity.client.id = PrincipalId{10'002};
  CHECK(reopen(mine, both) >= 1);
  CHECK(mine->held.lock()->handles.count(1) == 0);
  mine->held.lock()->handles.clear();
  identity.client.id = alice;
  CHECK(reopen(mine, both) == 0);
  for (const NodeId node : {scratch, unlinked}) {
    const auto read =
        asked("fetch", {{"fid", fid(node)}, {"ranges", json::array({json::array({0, 10})})}}, mine);
    REQUIRE_OK(read);
    CHECK((*read)["ranges"].size() == (node == scratch ? 1 : 0));
  }
  CHECK_OK(stored(scratch));
  CHECK_FAILS(stored(unlinked), ErrorCode::Stale);  // it had a name, and lost it
}

TEST_CASE_FIXTURE(
    ChangeFixture,
    "what its owner has open for writing stays so over a restart, whatever its mode") {
  const NodeId program = file("program");
  REQUIRE_OK(done("setattr", {{"fid", fid(program)}, {"mode", 0711}}));
  const NodeId letterbox = file("letterbox");
  REQUIRE_OK(done("setattr", {{"fid", fid(letterbox)}, {"mode", 0602}}));
  auto mine = session(1);
  const json args{
      {"dir", fid(kRootNode)}, {"name", "a"}, {"mode", 0444}, {"handle", 1}, {"seen", 1'000'000}};
  const auto created = done("create", args, mine);
  REQUIRE_OK(created);
  const NodeId node{(*created)["done"][0]["node"].get<std::uint64_t>()};
  restart();
  mine = back(mine);
  const json write = json::array({json::array({1, fid(node), (*created)["seq"], true})});
  CHECK_FALSE(asked("reopen", {{"handles", write}}, mine)->contains("lost"));
  CHECK(mine->held.lock()->handles.at(1).write);
  identity.client.id = PrincipalId{10'002};
  const auto version = [&](NodeId of) { return store().attributes(of)->version.value; };
  const json others = {{2, fid(program), version(program), false},
                       {3, fid(letterbox), version(letterbox), true},
                       {4, fid(letterbox), version(letterbox), false}};
  const auto again = asked("reopen", {{"handles", others}}, mine);
  REQUIRE_OK(again);
  REQUIRE((*again)["lost"].size() == 1);
  CHECK((*again)["lost"][0][0] == 4);
  CHECK(mine->held.lock()->handles.at(2).read);
  CHECK(mine->held.lock()->handles.at(3).write);
  CHECK_FALSE(mine->held.lock()->handles.at(3).read);
}

TEST_CASE_FIXTURE(ChangeFixture, "R21: a version is pinned as long as it is open, over restarts") {
  auto mine = session(1);
  const NodeId node = file("a");
  const std::uint64_t version = store().attributes(node)->version.value;
  const auto open = [&](std::uint64_t handle) {
    return asked("open", {{"fid", fid(node)}, {"handle", handle}}, mine);
  };
  const auto count = [&] {
    std::uint64_t all = 0;
    const auto pins = store().pinned(mine->id);
    REQUIRE_OK(pins);
    for (const auto& pin : *pins)
      all += pin.count;
    return all;
  };
  REQUIRE_OK(open(1));
  REQUIRE_OK(open(2));
  CHECK(count() == 2);
  for (int life = 0; life < 3; ++life) {
    restart();
    mine = back(mine);
    const json handles = {{1, fid(node), version, false}, {2, fid(node), version, false}};
    CHECK_FALSE(asked("reopen", {{"handles", handles}}, mine)->contains("lost"));
    CHECK(count() == 2);
  }
  // Further ones are counted, as ever.
  REQUIRE_OK(open(3));
  CHECK(count() == 3);
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1, 2, 3}}}, mine));
  CHECK(count() == 0);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "R21: what is not open any more after a restart is pinned until that is said") {
  auto mine = session(1);
  auto other = session(2);
  mine->opener = other->opener = identity.client.id;
  const NodeId node = file("a");
  const NodeId second = file("b");
  const std::uint64_t version = store().attributes(node)->version.value;
  const auto pins = [&](const auto& of) {
    std::uint64_t all = 0;
    const auto pinned = store().pinned(of->id);
    REQUIRE_OK(pinned);
    for (const auto& pin : *pinned)
      all += pin.count;
    return all;
  };
  for (const std::uint64_t handle : {1, 2, 3})
    REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", handle}}, mine));
  REQUIRE_OK(asked("open", {{"fid", fid(second)}, {"handle", 4}}, mine));
  REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", 1}}, other));
  // It is killed while 2 to 4 are released.
  restart();
  mine = back(mine);
  other = back(other);
  mine->opener = other->opener = identity.client.id;
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {2, 3, 4}}}, mine));
  CHECK(pins(mine) == 4);
  const json one = json::array({json::array({1, fid(node), version, false})});
  // Nobody else says it.
  const auto opener = std::exchange(identity.client.id, PrincipalId{10'002});
  CHECK_FAILS(asked("reopen", {{"handles", json::array()}, {"rest", volume.value}}, mine),
              ErrorCode::PermissionDenied);
  identity.client.id = opener;
  // Not while something is missing that may yet be had.
  const json missing = {{1, fid(node), version, false}, {9, fid(NodeId{999}), 1, false}};
  const auto lost = asked("reopen", {{"handles", missing}, {"rest", volume.value}}, mine);
  REQUIRE_OK(lost);
  CHECK((*lost)["lost"].size() == 1);
  CHECK(pins(mine) == 4);
  for (int again = 0; again < 2; ++again) {
    const auto all = asked("reopen", {{"handles", one}, {"rest", volume.value}}, mine);
    REQUIRE_OK(all);
    CHECK_FALSE(all->contains("lost"));
    CHECK(pins(mine) == 1);
  }
  CHECK(pins(other) == 1);
  // What is pinned from now on is not of before.
  REQUIRE_OK(asked("open", {{"fid", fid(second)}, {"handle", 4}}, mine));
  CHECK_OK(asked("reopen", {{"handles", json::array()}, {"rest", volume.value}}, mine));
  CHECK(pins(mine) == 2);
  CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {1, 4}}}, mine));
  CHECK(pins(mine) == 0);
  CHECK_OK(asked("reopen", {{"handles", json::array()}, {"rest", volume.value}}, other));
  CHECK(pins(other) == 0);
}

TEST_CASE_FIXTURE(ChangeFixture, "handles of a volume that is gone can be let go") {
  const auto mine = session(1);
  const NodeId node = file("a");
  REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", 1}}, mine));
  const json release{{"volume", volume.value}, {"handles", {1}}};
  SUBCASE("for good") {
    volume_ref = {};
    REQUIRE_OK(set->remove(volume, soon()));
    CHECK_OK(asked("release", release, mine));
    CHECK(mine->held.lock()->handles.empty());
  }
  SUBCASE("for now") {
    disk.writes_fail = true;
    CHECK_OK(asked("release", release, mine));
    CHECK(mine->held.lock()->handles.empty());
    disk.writes_fail = false;
    CHECK(test_support::eventually(
        [&] { return report("data").state == fileserver::VolumeState::Open; }));
    // Its pin goes with the next one's.
    REQUIRE_OK(asked("open", {{"fid", fid(node)}, {"handle", 2}}, mine));
    CHECK_OK(asked("release", {{"volume", volume.value}, {"handles", {2}}}, mine));
    CHECK(store().pinned(mine->id)->empty());
  }
}
