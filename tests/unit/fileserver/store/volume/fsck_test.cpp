#include "fileserver/store/check/fsck.hpp"

#include <filesystem>
#include <sstream>

#include "fileserver/store/check/inspect.hpp"
#include "fileserver/store/meta/database.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using common::ErrorCode;
using test_support::noise;
using test_support::view;
using test_support::VolumeFixture;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

namespace {

// A volume with something of everything, closed.
class Checked : public VolumeFixture {
 public:
  Checked() {
    options.compress = false;
    create();
    const NodeId d = make(kRootNode, "d", NodeKind::Directory);
    const NodeId a = make(d, "a");
    const NodeId b = make(d, "b");
    REQUIRE_OK(put(a, noise(400'000)));
    REQUIRE_OK(put(b, "a tail"));
    REQUIRE_OK(put(a, "changed", 200'000, false));
    REQUIRE_OK(commit({Link{a, kRootNode, "a2"}}, OperationKey{{}, 3}));
    REQUIRE_OK(commit({SetXattr{a, "user.x", Bytes(5)}}));
    REQUIRE_OK(commit({CreateSnapshot{"s", {}}}));
    REQUIRE_OK(commit({SetSetting{"k", Bytes(3)}}));
    REQUIRE_OK(commit({Create{}}));
    REQUIRE_OK(volume->close());
    volume.reset();
  }

  FsckReport check(bool repair = false) {
    FsckOptions how;
    how.repair = repair;
    auto report = check_volume(path(), how, clock);
    REQUIRE_OK(report);
    return *std::move(report);
  }
  // What a bug of ours, or somebody with a tool of his own, might do.
  void damage(std::string_view sql) {
    common::db::Options how;
    how.application_id = kVolumeApplicationId;
    const auto db =
        common::db::Database::open(metadata_path(path()), how, volume_migrations(), clock);
    REQUIRE_OK(db);
    REQUIRE_OK((*db)->commit([&](common::db::WriteTx& tx) { return tx.run(sql); }));
    REQUIRE_OK((*db)->close());
  }
};

bool names(const FsckReport& report, std::string_view invariant) {
  for (const Finding& finding : report.findings) {
    if (finding.invariant == invariant)
      return true;
  }
  return false;
}

std::string all_of(const FsckReport& report) {
  std::string text;
  for (const Finding& finding : report.findings)
    text += finding.invariant + ": " + finding.what + "\n";
  return text;
}

}  // namespace

TEST_CASE_FIXTURE(Checked, "a sound volume is found sound") {
  const FsckReport report = check();
  CHECK_MESSAGE(report.total_findings == 0, all_of(report));
  CHECK(report.is_sound());
  CHECK(report.nodes == 5);
  CHECK(report.blocks >= 5);
  CHECK(report.commits > 8);
}

TEST_CASE_FIXTURE(Checked,
                  "what is broken on purpose is found, and repaired where it can be derived") {
  struct Case {
    std::string_view invariant;
    std::string_view sql;
    bool repairable = false;
  };
  constexpr Case kCases[] = {
      {"I4", "UPDATE node_history SET from_seq = to_seq WHERE id = 3"},
      {"I4", "UPDATE node SET from_seq = 9999999 WHERE id = 2"},
      {"I5", "DELETE FROM dirent WHERE name = x'62'"},
      {"I5", "UPDATE dirent SET kind = 3 WHERE name = x'62'"},
      {"I5", "UPDATE dirent SET child = 77 WHERE name = x'62'"},
      {"I5", "UPDATE dirent SET parent = 77 WHERE name = x'62'"},
      {"I5", "UPDATE dirent SET name = x'2f62' WHERE name = x'62'"},
      {"I5", "UPDATE node SET home = 3 WHERE id = 2"},
      {"I5", "UPDATE dirent SET parent = 2 WHERE child = 2"},
      {"I5", "UPDATE node SET kind = 1 WHERE id = 1"},
      {"I5", "UPDATE node SET links = 7 WHERE id = 3", true},
      {"I5", "UPDATE touched SET links = 7", true},
      {"I5", "DELETE FROM hard_link", true},
      {"I5", "UPDATE hard_link SET links = 5", true},
      {"I5", "DELETE FROM orphan", true},
      {"I5", "INSERT INTO orphan VALUES (3)", true},
      {"I6", "UPDATE commits SET nodes = nodes + 1", true},
      {"I6", "UPDATE commits SET bytes = bytes + 1", true},
      {"I3", "UPDATE volume SET reserved_node = 2", true},
      {"I3", "UPDATE volume SET reserved_seq = 2", true},
      {"I1", "DELETE FROM block", true},
      {"I9", "UPDATE block SET offset = offset + 64", true},
      {"I9", "DELETE FROM content"},
      {"I9", "UPDATE content SET bytes = zeroblob(5000)"},
      {"I8", "UPDATE commits SET client = 9 WHERE client IS NOT NULL"},
      {"I8", "UPDATE client SET forgotten = 3"},
      {"I7", "UPDATE commits SET operations = x'00'"},
  };
  const std::filesystem::path sound = path() + "-sound";
  std::filesystem::copy(path(), sound, std::filesystem::copy_options::recursive);
  for (const Case& broken : kCases) {
    CAPTURE(broken.sql);
    std::filesystem::remove_all(path());
    std::filesystem::copy(sound, path(), std::filesystem::copy_options::recursive);
    damage(broken.sql);
    const FsckReport before = check();
    CHECK_MESSAGE(names(before, broken.invariant), all_of(before));
    CHECK(!before.is_sound());
    const FsckReport repair = check(true);
    const FsckReport after = check();
    CHECK_MESSAGE(after.is_sound() == broken.repairable, all_of(after));
    CHECK(repair.is_sound() == broken.repairable);
    if (!broken.repairable)
      continue;
    REQUIRE_OK(open());
    CHECK(get(volume->lookup(kRootNode, "a2")->attributes.node).size() == 400'000);
    volume.reset();
  }
  std::filesystem::remove_all(sound);
}

TEST_CASE_FIXTURE(Checked, "damaged blocks are named, and those written twice are found again") {
  const std::string segment = path() + "/segments/00000001.seg";
  auto bytes = test_support::read_file(segment);
  REQUIRE_OK(bytes);
  const std::size_t at = bytes->find(noise(400'000).substr(300'000, 32));
  REQUIRE(at != std::string::npos);
  (*bytes)[at] ^= 4;
  REQUIRE_OK(test_support::write_file(segment, *bytes));
  const FsckReport report = check();
  CHECK(!report.is_sound());
  CHECK(names(report, "I9"));
  CHECK(!check(true).is_sound());
}

TEST_CASE_FIXTURE(Checked, "a volume in use, or none, is refused") {
  REQUIRE_OK(open());
  CHECK_FAILS(check_volume(path(), {}, clock), ErrorCode::Busy);
  CHECK_FAILS(check_volume(path() + "/nowhere", {}, clock), ErrorCode::NotFound);
  // Looking leaves nothing behind.
  const test_support::TempDir empty;
  CHECK_FAILS(check_volume(empty.path().string(), {}, clock), ErrorCode::NotFound);
  std::ostringstream shown;
  CHECK_FAILS(inspect_volume(empty.path().string(), {}, clock, shown), ErrorCode::NotFound);
  CHECK(std::filesystem::is_empty(empty.path()));
}

TEST_CASE_FIXTURE(Checked, "an unclean stop is harmless, and said") {
  REQUIRE_OK(open());
  make(kRootNode, "more");
  volume.reset();
  const FsckReport report = check();
  CHECK_MESSAGE(report.is_sound(), all_of(report));
  CHECK(report.total_findings > 0);
}

TEST_CASE_FIXTURE(Checked, "the curious see commits, nodes, segments and records") {
  const auto show = [&](InspectOptions::What what, std::uint64_t number) {
    InspectOptions how;
    how.what = what;
    how.number = number;
    std::ostringstream out;
    CHECK_OK(inspect_volume(path(), how, clock, out));
    return out.str();
  };
  CHECK(show(InspectOptions::What::Summary, 0).find("node_history") != std::string::npos);
  const std::string commits = show(InspectOptions::What::Commits, 1);
  CHECK(commits.find("create 1 \"\" in 0") != std::string::npos);
  CHECK(commits.find("link 3 as \"a2\" in 1") != std::string::npos);
  CHECK(show(InspectOptions::What::Node, 3).find("size 400000") != std::string::npos);
  CHECK(show(InspectOptions::What::Segments, 0).find("1 ") == 0);
  CHECK(show(InspectOptions::What::Segment, 1).find("list") != std::string::npos);
}
