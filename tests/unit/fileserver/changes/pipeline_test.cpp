#include "fileserver/access/acl_bytes.hpp"
#include "fileserver/callers/disabled_list.hpp"
#include "tests/support/eventually.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::Fid;
using common::NodeId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
namespace rights = fileserver::access;
namespace fileproto = common::fileproto;
namespace store = fileserver::store;

TEST_CASE_FIXTURE(ChangeFixture, "a change of what nobody was promised is made at once") {
  const auto mine = session(1);
  const NodeId node = file("a");
  CHECK(promise(mine, node));
  const auto answer =
      done("setattr", {{"fid", fid(node)}, {"mode", 0600}, {"seen", 1'000'000}}, mine);
  REQUIRE_OK(answer);
  CHECK(store().attributes(node)->mode == 0600);
  CHECK((*answer)["nodes"][0]["p"] == 1);
  CHECK((*answer)["nodes"][0]["was"].size() == 2);
  CHECK(keeper().counts().waiting_changes == 0);
  CHECK(keeper().counts().marked == 0);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "a change waits without a thread until all who were promised have "
                  "given it up") {
  const auto holder = session(1);
  const auto other = session(2);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  REQUIRE(promise(other, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  REQUIRE(run(change, "setattr")->parked);
  CHECK(store().attributes(node)->mode == 0644);
  // While it waits nobody is promised anything anew.
  CHECK_FALSE(promise(holder, node));
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK_FALSE(change.woken());
  // Woken for nothing: it waits on.
  REQUIRE(run(change, "setattr")->parked);
  CHECK_OK(keeper().on_acknowledge(other->id, 1));
  CHECK(change.woken());
  const auto answer = run(change, "setattr");
  REQUIRE_OK(answer);
  CHECK_FALSE(answer->parked);
  CHECK(store().attributes(node)->mode == 0600);
  CHECK(promise(holder, node));
}

TEST_CASE_FIXTURE(ChangeFixture, "whose caller has gone, leaves no mark") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  REQUIRE(run(change, "setattr")->parked);
  CHECK(keeper().counts().marked == 1);
  SUBCASE("the server runs it once more") {
    change.hang_up();
    CHECK_FAILS(run(change, "setattr"), ErrorCode::Cancelled);
  }
  SUBCASE("the server just drops it") {}
  change.forget();
  CHECK(keeper().counts().marked == 0);
  CHECK(keeper().counts().waiting_changes == 0);
  CHECK(store().attributes(node)->mode == 0644);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK(promise(holder, node));
}

TEST_CASE_FIXTURE(ChangeFixture, "R17: what the set of nodes has grown by is asked for, too") {
  const auto holder = session(1);
  const auto bystander = session(2);
  const NodeId moved = file("moved");
  const NodeId victim = file("target");
  REQUIRE(promise(holder, victim));
  FakeCall change = call(
      {{"dir", fid(kRootNode)}, {"name", "moved"}, {"to", fid(kRootNode)}, {"to_name", "target"}});
  REQUIRE(run(change, "rename")->parked);
  // Meanwhile another file has come under that name, and somebody was promised it.
  store::CommitRequest meanwhile;
  meanwhile.operations = {store::Unlink{kRootNode, "target"}, store::Create{kRootNode, "target"}};
  const auto replaced = store().commit(meanwhile);
  REQUIRE_OK(replaced);
  const NodeId newcomer = replaced->created[1];
  REQUIRE(promise(bystander, newcomer));
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK(change.woken());
  REQUIRE(run(change, "rename")->parked);
  CHECK(store().lookup(kRootNode, "target")->attributes.node == newcomer);
  CHECK_OK(keeper().on_acknowledge(bystander->id, 1));
  const auto answer = run(change, "rename");
  REQUIRE_OK(answer);
  CHECK_FALSE(answer->parked);
  CHECK(store().lookup(kRootNode, "target")->attributes.node == moved);
}

TEST_CASE_FIXTURE(ChangeFixture, "R5: who may not, breaks nobody's promise") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  identity.client.id = common::ticket::PrincipalId{10'002};
  CHECK_FAILS(done("setattr", {{"fid", fid(node)}, {"mode", 0666}}), ErrorCode::PermissionDenied);
  CHECK(keeper().counts().breaks == 0);
  CHECK(store().attributes(node)->mode == 0644);
}

TEST_CASE_FIXTURE(ChangeFixture, "rights are judged again inside the transaction") {
  const auto holder = session(1);
  const NodeId directory = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0777}});
  REQUIRE(promise(holder, directory));
  // Of another caller, who may now.
  const auto owner = identity.client.id;
  identity.client.id = common::ticket::PrincipalId{10'002};
  FakeCall change = call({{"dir", fid(directory)}, {"name", "x"}, {"mode", 0644}});
  REQUIRE(run(change, "create")->parked);
  // And no more.
  store::CommitRequest request;
  request.operations = {store::SetAttributes{.node = directory, .mode = 0755}};
  REQUIRE_OK(store().commit(request));
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK_FAILS(run(change, "create"), ErrorCode::PermissionDenied);
  change.forget();
  CHECK_FAILS(store().lookup(directory, "x"), ErrorCode::NotFound);
  CHECK(keeper().counts().marked == 0);
  CHECK(owner != identity.client.id);
}

TEST_CASE_FIXTURE(ChangeFixture, "F41: who is disabled while his change waits does not commit it") {
  fileserver::DisabledList disabled;
  const auto disable = [&] {
    REQUIRE_OK(disabled.refresh(
        [&](auto, auto) -> common::Result<common::auth::DisabledNews> {
          common::auth::DisabledNews news;
          news.whole = true;
          news.disabled = {identity.client.id};
          return news;
        },
        clock.now()));
  };
  parts->disabled = &disabled;
  const auto holder = session(1);
  const auto mine = session(2);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  REQUIRE(run(change, "setattr")->parked);
  disable();
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  const auto refused = run(change, "setattr");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::PermissionDenied);
  CHECK(refused.error().message.find("disabled") != std::string::npos);
  change.forget();
  CHECK(store().attributes(node)->mode == 0644);
  CHECK(keeper().counts().marked == 0);
  // Nor is he promised what a read of his tells that was under way.
  fileserver::FileCall read(*parts, change, identity, mine);
  fileserver::ReadGrants grants(read);
  const common::Fid what{volume, node};
  CHECK_FALSE(grants.give(std::span(&what, 1))[0]);
  CHECK(grants.clock() == 0);
}

TEST_CASE_FIXTURE(ChangeFixture, "what a change is made of is what is there when it is made") {
  const auto holder = session(1);
  SUBCASE("the mode whose set-id bits a truncation clears") {
    const NodeId node = made("create", {{"dir", fid(kRootNode)}, {"name", "a"}, {"mode", 04755}});
    REQUIRE(promise(holder, node));
    FakeCall change = call({{"fid", fid(node)}, {"size", 0}});
    REQUIRE(run(change, "setattr")->parked);
    store::CommitRequest request;
    request.operations = {store::SetAttributes{.node = node, .mode = 04700}};
    REQUIRE_OK(store().commit(request));
    CHECK_OK(keeper().on_acknowledge(holder->id, 1));
    REQUIRE_OK(run(change, "setattr"));
    CHECK(store().attributes(node)->mode == 0700);
  }
  SUBCASE("the list that a new directory inherits") {
    REQUIRE(promise(holder, kRootNode));
    FakeCall change = call({{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
    REQUIRE(run(change, "mkdir")->parked);
    const auto acl =
        rights::encode_acl({{fileproto::AclWho::AnyUser, 0, fileproto::right::kAll, false}});
    store::CommitRequest request;
    request.operations = {store::SetXattr{kRootNode, std::string(rights::kAclXattr), acl}};
    REQUIRE_OK(store().commit(request));
    CHECK_OK(keeper().on_acknowledge(holder->id, 1));
    const auto answer = run(change, "mkdir");
    REQUIRE_OK(answer);
    const NodeId node{json::parse(answer->result)["done"][0]["node"].get<std::uint64_t>()};
    const auto inherited = store().xattr(node, rights::kAclXattr);
    REQUIRE_OK(inherited);
    CHECK(*inherited == acl);
  }
}

TEST_CASE_FIXTURE(ChangeFixture, "R28: what is past its deadline does not happen") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  REQUIRE(run(change, "setattr")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK(change.woken());
  // The server stood still between the last acknowledgement and the commit.
  change.set_deadline(clock.now() - std::chrono::seconds(1));
  CHECK_FAILS(run(change, "setattr"), ErrorCode::DeadlineExceeded);
  change.forget();
  CHECK(store().attributes(node)->mode == 0644);
  CHECK(keeper().counts().marked == 0);
}

TEST_CASE_FIXTURE(ChangeFixture, "the change of a session that ended while it waited is stale") {
  const auto holder = session(1);
  const auto mine = session(2);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}, {"s", 2}});
  REQUIRE(run(change, "setattr", mine)->parked);
  keeper().end_session(mine->id, fileserver::SessionOver::Why::Closed);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK_FAILS(run(change, "setattr", mine), ErrorCode::Stale);
  CHECK(store().attributes(node)->mode == 0644);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "G7: a retry meets its original: one is executed, both are "
                  "answered") {
  const auto holder = session(1);
  const auto mine = session(2);
  REQUIRE(promise(holder, kRootNode));
  const json args{{"dir", fid(kRootNode)}, {"name", "once"}, {"mode", 0755}, {"s", 2}};
  FakeCall first = call(args, 7);
  FakeCall second = call(args, 7);
  REQUIRE(run(first, "mkdir", mine)->parked);
  REQUIRE(run(second, "mkdir", mine)->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  const auto one = run(first, "mkdir", mine);
  REQUIRE_OK(one);
  const auto two = run(second, "mkdir", mine);
  REQUIRE_OK(two);
  CHECK_FALSE(json::parse(one->result).value("replayed", false));
  CHECK(json::parse(two->result)["replayed"] == true);
  CHECK(json::parse(one->result)["seq"] == json::parse(two->result)["seq"]);
  // And a later one finds the name in its way, and is answered all the same.
  FakeCall third = call(args, 7);
  CHECK(json::parse(run(third, "mkdir", mine)->result)["replayed"] == true);
  CHECK(keeper().counts().marked == 0);
}

TEST_CASE_FIXTURE(ChangeFixture, "verdicts about directories hold until one of them is changed") {
  const NodeId directory = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
  const NodeId node = file("a", directory);
  store();
  const auto& generation = volume_ref.generation();
  const auto before = generation.now();
  REQUIRE(before);
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
  file("b", directory);
  CHECK(generation.now() == before);
  REQUIRE_OK(done("setattr", {{"fid", fid(directory)}, {"mode", 0700}}));
  CHECK(generation.now() > before);
  const auto later = generation.now();
  // A move, too; not one that fails.
  CHECK_FAILS(
      done("rename",
           {{"dir", fid(kRootNode)}, {"name", "d"}, {"to", fid(directory)}, {"to_name", "e"}}),
      ErrorCode::InvalidArgument);
  const NodeId other = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "o"}, {"mode", 0755}});
  const auto unmoved = generation.now();
  REQUIRE_OK(done("rename",
                  {{"dir", fid(kRootNode)}, {"name", "d"}, {"to", fid(other)}, {"to_name", "d"}}));
  CHECK(generation.now() > unmoved);
  CHECK(unmoved >= later);
}

TEST_CASE_FIXTURE(ChangeFixture,
                  "R4: a number that stands for another change is a conflict, not an answer") {
  const auto mine = session(1);
  keeper().stream_down(mine->id);  // so nothing is promised, and nothing waited for
  const NodeId node = file("a");
  const auto under = [&](std::uint64_t number, std::string_view operation, json args) {
    args["s"] = 1;
    FakeCall one = call(args, number);
    auto reply = run(one, operation, mine);
    CHECK_FALSE((reply && reply->parked));
    return reply;
  };
  const json directory{{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}};
  REQUIRE_OK(under(1, "mkdir", directory));
  CHECK_OK(under(1, "mkdir", directory));
  const json others[] = {{{"dir", fid(kRootNode)}, {"name", "e"}, {"mode", 0755}},
                         {{"dir", fid(node)}, {"name", "d"}, {"mode", 0755}}};
  for (const json& other : others) {
    const auto refused = under(1, "mkdir", other);
    CHECK_FAILS(refused, ErrorCode::Conflict);
    CHECK(json::parse(refused.error().detail)["why"] == "id-used");
  }
  CHECK_FAILS(under(1, "create", directory), ErrorCode::Conflict);
  CHECK_FAILS(under(1, "rmdir", {{"dir", fid(kRootNode)}, {"name", "d"}}), ErrorCode::Conflict);
  CHECK_FAILS(under(1, "setattr", {{"fid", fid(node)}, {"mode", 0600}}), ErrorCode::Conflict);
  REQUIRE_OK(under(2, "setattr", {{"fid", fid(node)}, {"mode", 0600}, {"mtime", "now"}}));
  CHECK_OK(under(2, "setattr", {{"fid", fid(node)}, {"mode", 0600}, {"mtime", "now"}}));
  REQUIRE_OK(
      under(3, "rename",
            {{"dir", fid(kRootNode)}, {"name", "a"}, {"to", fid(kRootNode)}, {"to_name", "b"}}));
  CHECK_OK(
      under(3, "rename",
            {{"dir", fid(kRootNode)}, {"name", "a"}, {"to", fid(kRootNode)}, {"to_name", "b"}}));
  CHECK_FAILS(
      under(3, "rename",
            {{"dir", fid(kRootNode)}, {"name", "a"}, {"to", fid(kRootNode)}, {"to_name", "c"}}),
      ErrorCode::Conflict);
  REQUIRE_OK(under(4, "set-xattr", {{"fid", fid(node)}, {"name", "user.x"}, {"value", "1"}}));
  CHECK_OK(under(4, "set-xattr", {{"fid", fid(node)}, {"name", "user.x"}, {"value", "1"}}));
  CHECK_FAILS(under(4, "set-xattr", {{"fid", fid(node)}, {"name", "user.x"}, {"value", "2"}}),
              ErrorCode::Conflict);
  CHECK(store().lookup(kRootNode, "d").has_value());
  CHECK_FAILS(store().lookup(kRootNode, "e"), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(ChangeFixture, "R20: nothing is promised of what was perhaps changed") {
  const auto holder = session(1);
  const NodeId node = file("a");
  const NodeId other = file("b");
  disk.writes_fail = true;
  CHECK_FAILS(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}), ErrorCode::OutcomeUnknown);
  // Who reads it now may see what the next life of the volume does not have, or the other way.
  CHECK(keeper().counts().marked == 1);
  CHECK_FALSE(promise(holder, node));
  CHECK(promise(holder, other));
  // When the disk can be written again, the volume is opened anew, and says what became of it.
  disk.writes_fail = false;
  CHECK(test_support::eventually([&] { return keeper().counts().marked == 0; }));
  CHECK(promise(holder, node));
  const auto mode = store().attributes(node)->mode;
  CHECK((mode == 0600 || mode == 0644));
  CHECK(keeper().counts().promises == 2);
  FakeCall change = call({{"fid", fid(other)}, {"mode", 0600}});
  CHECK(run(change, "setattr")->parked);  // what was promised before is promised still
}

TEST_CASE_FIXTURE(ChangeFixture, "a volume that is deleted leaves no marks") {
  const NodeId node = file("a");
  disk.writes_fail = true;
  CHECK_FAILS(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}), ErrorCode::OutcomeUnknown);
  CHECK(keeper().counts().marked == 1);
  volume_ref = {};
  REQUIRE_OK(set->remove(volume, soon()));
  sessions->volume_deleted(volume);
  CHECK(keeper().counts().marked == 0);
}
