// Volumes as administrators manage them, over the protocol.

#include "common/failpoint/failpoint.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::NodeId;
using fileserver::store::kRootNode;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;

namespace {

class AdminFixture : public ChangeFixture {
 public:
  AdminFixture() { identity.groups.push_back(common::ticket::kAdministrators); }
  json volume_named(const std::string& name) {
    const auto shown = asked("volume-show", {{"name", name}});
    REQUIRE_OK(shown);
    return *shown;
  }
};

}  // namespace

TEST_CASE_FIXTURE(AdminFixture,
                  "a volume is made, renamed, given a policy and a quota, and deleted") {
  const auto created = asked(
      "volume-create",
      {{"name", "more"}, {"policy", {{"write_conflict", "refuse"}}}, {"quota_bytes", 1'000'000}});
  REQUIRE_OK(created);
  CHECK((*created)["policy"]["write_conflict"] == "refuse");
  CHECK((*created)["quota_bytes"] == 1'000'000);
  CHECK_FAILS(asked("volume-create", {{"name", "more"}, {"policy", json::object()}}),
              ErrorCode::AlreadyExists);
  CHECK_FAILS(asked("volume-create", {{"name", "../more"}, {"policy", json::object()}}),
              ErrorCode::InvalidArgument);
  CHECK_OK(asked("volume-rename", {{"name", "more"}, {"to", "other"}}));
  CHECK_FAILS(asked("volume-show", {{"name", "more"}}), ErrorCode::NotFound);
  CHECK_OK(asked(
      "volume-policy",
      {{"name", "other"}, {"policy", {{"close_level", "stable"}, {"trusted_hosts", {7, 5, 7}}}}}));
  CHECK(volume_named("other")["policy"]["trusted_hosts"] == json::array({5, 7}));
  CHECK_OK(done("volume-quota", {{"name", "other"}, {"bytes", 0}, {"nodes", 50}}));
  CHECK_FALSE(volume_named("other").contains("quota_bytes"));
  CHECK(volume_named("other")["quota_nodes"] == 50);
  CHECK((*asked("volume-list", json::object()))["volumes"].size() == 2);
  CHECK_OK(asked("volume-delete", {{"name", "other"}}));
  CHECK((*asked("volume-list", json::object()))["volumes"].size() == 1);
}

TEST_CASE_FIXTURE(AdminFixture, "whoever is no administrator changes nothing, and breaks nothing") {
  const auto holder = session(1);
  const NodeId d = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0777}});
  REQUIRE_OK(asked("volume-create", {{"name", "more"}, {"policy", json::object()}}));
  REQUIRE(promise(holder, d));
  identity.groups.clear();
  CHECK_FAILS(asked("volume-create", {{"name", "x"}, {"policy", json::object()}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(asked("volume-delete", {{"name", "more"}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(asked("volume-rename", {{"name", "more"}, {"to", "x"}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(asked("volume-policy", {{"name", "more"}, {"policy", json::object()}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(done("volume-quota", {{"name", "more"}, {"bytes", 1}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(done("volume-attach", {{"name", "more"}, {"dir", fid(d)}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(done("volume-detach", {{"name", "more"}}), ErrorCode::PermissionDenied);
  CHECK(keeper().counts().breaks == 0);
}

TEST_CASE_FIXTURE(AdminFixture,
                  "a volume lies on a directory when who was promised that has heard of it") {
  const auto holder = session(1);
  const NodeId d = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
  const auto more = asked("volume-create", {{"name", "more"}, {"policy", json::object()}});
  REQUIRE_OK(more);
  REQUIRE(promise(holder, d));
  FakeCall attach = call({{"name", "more"}, {"dir", fid(d)}});
  REQUIRE(run(attach, "volume-attach")->parked);
  CHECK_FALSE(volume_named("more").contains("attached"));
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  CHECK_OK(run(attach, "volume-attach"));
  CHECK(volume_named("more")["attached"] == fid(d));
  const auto seen = asked("lookup", {{"dir", fid(kRootNode)}, {"name", "d"}});
  CHECK((*seen)["node"]["vol"] == (*more)["volume"]);
  keeper().end_session(holder->id, fileserver::SessionOver::Why::Closed);
  // It cannot be lost from there.
  for (const char* operation : {"rmdir", "rename"}) {
    json args{{"dir", fid(kRootNode)}, {"name", "d"}};
    if (operation == std::string_view("rename")) {
      made("mkdir", {{"dir", fid(kRootNode)}, {"name", "e"}, {"mode", 0755}});
      args = {{"dir", fid(kRootNode)}, {"name", "e"}, {"to", fid(kRootNode)}, {"to_name", "d"}};
    }
    const auto refused = done(operation, args);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().error_number == EBUSY);
  }
  CHECK_FAILS(asked("volume-delete", {{"name", "more"}}), ErrorCode::Busy);
  CHECK_FAILS(asked("volume-delete", {{"name", "data"}}), ErrorCode::Busy);
  CHECK_OK(done("volume-detach", {{"name", "more"}}));
  CHECK_FALSE((*asked("lookup", {{"dir", fid(kRootNode)}, {"name", "d"}}))["node"].contains("vol"));
  CHECK_OK(done("rmdir", {{"dir", fid(kRootNode)}, {"name", "d"}}));
}

TEST_CASE_FIXTURE(AdminFixture, "no volume lies in itself, on a root, on a file, or twice") {
  const NodeId d = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "d"}, {"mode", 0755}});
  const NodeId f = file("f");
  REQUIRE_OK(asked("volume-create", {{"name", "more"}, {"policy", json::object()}}));
  const auto attach = [&](const char* name, const json& at) {
    return done("volume-attach", {{"name", name}, {"dir", at}});
  };
  CHECK_FAILS(attach("data", fid(d)), ErrorCode::Conflict);
  CHECK_FALSE(attach("more", fid(f)));
  CHECK_FALSE(attach("more", fid(kRootNode)));
  CHECK_FAILS(attach("more", fid(NodeId{99'999})), ErrorCode::NotFound);
  CHECK_OK(attach("more", fid(d)));
  // Again, as a retry whose record is forgotten: it lies there.
  CHECK_OK(attach("more", fid(d)));
  const NodeId e = made("mkdir", {{"dir", fid(kRootNode)}, {"name", "e"}, {"mode", 0755}});
  CHECK_FAILS(attach("more", fid(e)), ErrorCode::Busy);
  CHECK(keeper().counts().marked == 0);
}

TEST_CASE_FIXTURE(AdminFixture,
                  "G6: a volume whose deletion was refused is none that the next start removes") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  const auto stage = [&] {
    const auto rows = set->registry().volumes();
    REQUIRE_OK(rows);
    const auto row = std::find_if(rows->begin(), rows->end(),
                                  [&](const auto& one) { return one.entry.id == volume; });
    REQUIRE(row != rows->end());
    return row->stage;
  };
  using Stage = fileserver::Registry::Stage;
  SUBCASE("the disk fails once") {
    const common::failpoint::Armed once("registry.change.before_stable=error(io_error)@1");
    CHECK_FAILS(asked("volume-delete", {{"name", "data"}}), ErrorCode::IoError);
    CHECK(stage() == Stage::There);
    CHECK(set->use(volume, soon()).has_value());
  }
  SUBCASE("and goes on failing") {
    {
      const common::failpoint::Armed always("registry.change.before_stable=error(io_error)");
      CHECK_FAILS(asked("volume-delete", {{"name", "data"}}), ErrorCode::OutcomeUnknown);
    }
    // Whatever the row says: nobody writes there.
    CHECK_FAILS(set->use(volume, soon()), ErrorCode::NotFound);
  }
}

TEST_CASE_FIXTURE(AdminFixture,
                  "G4: what is repeated is told when it is as far on the disk as the volume asks") {
  const NodeId node = file("a");
  const json args{{"fid", fid(node)}, {"mode", 0700}};
  FakeCall first = call(args, 55);
  REQUIRE_OK(run(first, "setattr"));
  REQUIRE_OK(asked("volume-policy", {{"name", "data"}, {"policy", {{"close_level", "stable"}}}}));
  FakeCall again = call(args, 55);
  const auto told = run(again, "setattr");
  REQUIRE_OK(told);
  const json result = json::parse(told->result);
  CHECK(result["replayed"] == true);
  CHECK(result["stable"].get<std::uint64_t>() >= result["seq"].get<std::uint64_t>());
}
