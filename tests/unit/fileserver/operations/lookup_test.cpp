// What reads tell, of whom they tell it, and what they promise.

#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::NodeId;
using common::ticket::PrincipalId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
namespace store = fileserver::store;

namespace {

constexpr PrincipalId kBob{10'002};

class LookupFixture : public ChangeFixture {
 public:
  NodeId directory(const std::string& name, std::uint32_t mode, NodeId in = kRootNode) {
    return made("mkdir", {{"dir", fid(in)}, {"name", name}, {"mode", mode}});
  }
};

}  // namespace

TEST_CASE_FIXTURE(LookupFixture,
                  "a lookup tells both nodes and promises both; without a session, neither") {
  const auto mine = session(1);
  const NodeId node = file("a");
  const auto found = asked("lookup", {{"dir", fid(kRootNode)}, {"name", "a"}}, mine);
  REQUIRE_OK(found);
  CHECK((*found)["node"]["n"] == node.value);
  CHECK((*found)["node"]["p"] == 1);
  CHECK((*found)["dir"]["p"] == 1);
  CHECK((*found)["grants"].get<std::uint64_t>() > 0);
  CHECK(keeper().counts().promises == 2);
  const auto absent = asked("lookup", {{"dir", fid(kRootNode)}, {"name", "b"}}, mine);
  REQUIRE_OK(absent);
  CHECK_FALSE(absent->contains("node"));
  CHECK((*absent)["dir"]["p"] == 1);
  const auto stranger = asked("lookup", {{"dir", fid(kRootNode)}, {"name", "a"}});
  REQUIRE_OK(stranger);
  CHECK_FALSE((*stranger)["node"].contains("p"));
  CHECK_FALSE(stranger->contains("grants"));
  CHECK_FAILS(asked("lookup", {{"dir", fid(node)}, {"name", "x"}}), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(LookupFixture, "nothing is promised of a node that is being changed") {
  const auto holder = session(1);
  const auto mine = session(2);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  REQUIRE(run(change, "setattr")->parked);
  const auto meanwhile = asked("getattr", {{"fids", json::array({fid(node)})}}, mine);
  REQUIRE_OK(meanwhile);
  CHECK_FALSE((*meanwhile)["nodes"][0].contains("p"));
  const auto same = asked(
      "revalidate",
      {{"nodes", json::array({json::array({fid(node), (*meanwhile)["nodes"][0]["v"]})})}}, mine);
  REQUIRE_OK(same);
  // It is as it was, but cannot be promised: so it is told of.
  CHECK((*same)["changed"].size() == 1);
  change.forget();
  const auto later = asked("getattr", {{"fids", json::array({fid(node)})}}, mine);
  CHECK((*later)["nodes"][0]["p"] == 1);
}

TEST_CASE_FIXTURE(LookupFixture,
                  "R7: behind a closed directory there is nothing, for whoever may not pass") {
  const NodeId closed = directory("closed", 0700);
  const NodeId node = file("secret", closed);
  identity.client.id = kBob;
  // A number that was heard of opens nothing, and is answered like one that never was.
  const auto heard = asked("getattr", {{"fids", json::array({fid(node), fid(NodeId{999'999})})}});
  REQUIRE_OK(heard);
  CHECK((*heard)["nodes"][0]["error"]["code"] == "not_found");
  CHECK((*heard)["nodes"][1]["error"]["code"] == "not_found");
  CHECK_FAILS(asked("lookup", {{"dir", fid(closed)}, {"name", "secret"}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(asked("list", {{"dir", fid(closed)}, {"limit", 10}}), ErrorCode::PermissionDenied);
  for (const char* operation : {"access", "xattrs", "acl"})
    CHECK_FAILS(asked(operation, {{"fid", fid(node)}}), ErrorCode::NotFound);
  const auto walked = asked("walk", {{"from", fid(kRootNode)}, {"names", {"closed", "secret"}}});
  REQUIRE_OK(walked);
  CHECK((*walked)["steps"].size() == 1);
  const auto gone = asked("revalidate", {{"nodes", json::array({json::array({fid(node), 1})})}});
  REQUIRE_OK(gone);
  CHECK((*gone)["gone"] == json::array({node.value}));
  const auto why =
      asked("whynot", {{"operation", "read"}, {"fid", fid(closed)}, {"name", "secret"}});
  REQUIRE_OK(why);
  CHECK_FALSE((*why).value("allowed", false));
  CHECK_FALSE((*why)["rule"].get<std::string>().empty());
}

TEST_CASE_FIXTURE(LookupFixture,
                  "a walk ends after a symbolic link, and before what is not there") {
  const NodeId d = directory("d", 0755);
  made("symlink", {{"dir", fid(d)}, {"name", "l"}, {"mode", 0777}, {"target", "/etc/passwd"}});
  const auto walked = asked("walk", {{"from", fid(kRootNode)}, {"names", {"d", "l", "x"}}});
  REQUIRE_OK(walked);
  REQUIRE((*walked)["steps"].size() == 2);
  CHECK((*walked)["steps"][1]["k"] == "l");
  // F46: its text is text, wherever it points.
  const auto text = asked("readlink", {{"fid", {volume.value, (*walked)["steps"][1]["n"]}}});
  REQUIRE_OK(text);
  CHECK((*text)["target"] == "/etc/passwd");
  CHECK((*asked("walk", {{"from", fid(kRootNode)}, {"names", {"no", "l"}}}))["steps"].empty());
}

TEST_CASE_FIXTURE(LookupFixture,
                  "listings come in pages, as JSON or packed, and promise what they show") {
  const auto mine = session(1);
  const NodeId d = directory("d", 0755);
  for (int i = 0; i < 7; ++i)
    file("f" + std::to_string(i), d);
  const auto first = asked("list", {{"dir", fid(d)}, {"limit", 5}}, mine);
  REQUIRE_OK(first);
  CHECK((*first)["entries"].size() == 5);
  CHECK((*first)["entries"][4]["node"]["p"] == 1);
  CHECK((*first)["next"] == "f4");
  const auto rest = asked("list", {{"dir", fid(d)}, {"limit", 5}, {"after", "f4"}}, mine);
  CHECK((*rest)["entries"].size() == 2);
  CHECK_FALSE(rest->contains("next"));
  const auto packed = asked("list", {{"dir", fid(d)}, {"limit", 5}, {"packed", true}}, mine);
  REQUIRE_OK(packed);
  CHECK((*packed)["count"] == 5);
  CHECK(raw.size() == 5 * (1 + 2 + common::fileproto::kPackedAttributes));
}

TEST_CASE_FIXTURE(LookupFixture, "the past is told without promises, to whom it may be told") {
  const auto mine = session(1);
  const NodeId node = file("a");
  const json before = (*asked("getattr", {{"fids", json::array({fid(node)})}}))["nodes"][0];
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
  const auto then =
      asked("getattr", {{"fids", json::array({fid(node)})}, {"at", before["v"]}}, mine);
  REQUIRE_OK(then);
  CHECK((*then)["nodes"][0]["m"] == 0644);
  CHECK_FALSE((*then)["nodes"][0].contains("p"));
  CHECK(keeper().counts().promises == 0);
}

TEST_CASE_FIXTURE(LookupFixture, "extended attributes of the server's own are nobody's to see") {
  const NodeId node = file("a");
  REQUIRE_OK(done("set-xattr", {{"fid", fid(node)}, {"name", "user.x"}, {"value", "1"}}));
  store::CommitRequest request;
  request.operations = {store::SetXattr{node, "troth.x", {}}};
  REQUIRE_OK(store().commit(request));
  CHECK((*asked("xattrs", {{"fid", fid(node)}}))["names"] == json::array({"user.x"}));
  CHECK((*asked("xattr", {{"fid", fid(node)}, {"name", "user.x"}}))["value"] == "1");
  CHECK_FALSE(asked("xattr", {{"fid", fid(node)}, {"name", "troth.x"}}));
  CHECK_FALSE(done("set-xattr", {{"fid", fid(node)}, {"name", "troth.x"}, {"value", "1"}}));
  const auto missing = asked("xattr", {{"fid", fid(node)}, {"name", "user.y"}});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().error_number == ENODATA);
}

TEST_CASE_FIXTURE(LookupFixture,
                  "hosts speak for local users where a volume says so, and nowhere else") {
  const NodeId node = file("a");
  identity.client = {"host/h", common::ticket::Kind::Host, PrincipalId{10'050}};
  const json as{{"uid", 10'001}, {"gid", 100}};
  const json args{{"fid", fid(node)}, {"mode", 0600}, {"as", as}};
  CHECK_FAILS(done("setattr", args), ErrorCode::PermissionDenied);
  CHECK_FAILS(asked("getattr", {{"fids", json::array({fid(node)})}, {"as", as}}),
              ErrorCode::PermissionDenied);
  fileserver::VolumePolicy policy;
  policy.trusted_hosts = {identity.client.id};
  REQUIRE_OK(set->set_policy(volume, policy));
  CHECK_OK(done("setattr", args));
  CHECK(store().attributes(node)->mode == 0600);
  // Another volume does not.
  const auto other = make("other");
  const json there{{"fid", {other->id.value, 1}}, {"mode", 0777}, {"as", as}};
  CHECK_FAILS(done("setattr", there), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(LookupFixture, "what was read before a change is not promised after it") {
  const auto mine = session(1);
  const NodeId node = file("a");
  FakeCall look = call(json::object());
  fileserver::FileCall reading(*parts, look, identity, mine);
  fileserver::ReadGrants grants(reading);
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"mode", 0600}}));
  const common::Fid fids[] = {{volume, node}};
  CHECK_FALSE(grants.give(fids)[0]);
  CHECK(grants.clock() == 0);
  fileserver::ReadGrants later(reading);
  CHECK(later.give(fids)[0]);
}

TEST_CASE_FIXTURE(LookupFixture,
                  "whether a list governs is told as it is, also when it has just changed") {
  const NodeId d = directory("d", 0755);
  const NodeId f = file("f", d);
  const auto governed = [&](NodeId node) {
    const auto answer = asked("getattr", {{"fids", json::array({fid(node)})}});
    REQUIRE_OK(answer);
    return (*answer)["nodes"][0].contains("acl");
  };
  CHECK_FALSE(governed(d));
  CHECK_FALSE(governed(f));
  const json list = json::array({{{"who", "user"}, {"id", 10'001}, {"rights", "rlidwka"}}});
  REQUIRE_OK(done("set-acl", {{"fid", fid(d)}, {"entries", list}}));
  CHECK(governed(d));
  CHECK(governed(f));
  const NodeId below = directory("below", 0755, d);
  CHECK(governed(below));
  REQUIRE_OK(done("set-acl", {{"fid", fid(d)}}));
  CHECK_FALSE(governed(f));
  CHECK(governed(below));
  // A file is governed where it lies.
  REQUIRE_OK(
      done("rename", {{"dir", fid(d)}, {"name", "f"}, {"to", fid(below)}, {"to_name", "f"}}));
  CHECK(governed(f));
}
