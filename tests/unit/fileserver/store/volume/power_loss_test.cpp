// Damage and a power loss at once: what was stable stays, and says that it is damaged.

#include <cerrno>

#include "common/db/stable_mark.hpp"
#include "fileserver/store/check/fsck.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using common::ErrorCode;
using test_support::noise;
using test_support::VolumeFixture;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

namespace {

constexpr std::size_t kLength = 200'000;

// A file that was stable, as the mark tells; a later one that was not, while both are still on the
// list of what recovery looks at; then the power fails.
class TwoFates : public VolumeFixture {
 public:
  TwoFates() {
    options.boot_id = Bytes(1, std::byte{1});
    options.flush_interval = std::chrono::hours(1);
    options.compress = false;
    create();
    newest = make(kRootNode, "newest");
    stable = make(kRootNode, "stable");
    const auto done = put(stable, noise(kLength, 1));
    REQUIRE_OK(done);
    REQUIRE_OK(put(newest, noise(kLength, 2)));
    die();
    const auto io = common::io::PosixFileIo::open_root(path());
    REQUIRE_OK(io);
    const auto mark = common::db::StableMark::open(**io, "meta.db-mark", nullptr);
    REQUIRE_OK(mark);
    REQUIRE((*mark)->state().stable < done->number);
    REQUIRE_OK((*mark)->record(done->number, false));
    options.boot_id = Bytes(1, std::byte{2});
  }

  // A block of the content with this seed is not what it was.
  void damage(std::uint64_t seed) {
    const std::string segment = path() + "/segments/00000001.seg";
    auto bytes = test_support::read_file(segment);
    REQUIRE_OK(bytes);
    const std::size_t at = bytes->find(noise(kLength, seed).substr(kBlockBytes, 64));
    REQUIRE(at != std::string::npos);
    (*bytes)[at + 5] ^= 1;
    REQUIRE_OK(test_support::write_file(segment, *bytes));
  }

  NodeId stable;
  NodeId newest;
};

}  // namespace

TEST_CASE_FIXTURE(TwoFates,
                  "R20, F13: a damaged block undoes no commit that was stable, power loss or not") {
  damage(1);
  std::vector<std::byte> buffer(kLength);
  SUBCASE("alone: nothing is undone") {
    REQUIRE_OK(open());
    CHECK(volume->report().power_lost);
    CHECK(volume->report().rolled_back == 0);
    CHECK(get(newest) == noise(kLength, 2));
  }
  SUBCASE("with a later block that the power loss took: that one's commit is undone, no more") {
    damage(2);
    REQUIRE_OK(open());
    CHECK(volume->report().rolled_back == 1);
    CHECK(volume->attributes(newest)->size == 0);
  }
  // The damage is told, the bytes are not served, and writing them again heals.
  CHECK(volume->report().damaged_blocks == 1);
  CHECK(volume->status()->quarantined == 1);
  CHECK(volume->attributes(stable)->size == kLength);
  CHECK(!volume->read(stable, 0, buffer));
  REQUIRE_OK(put(stable, noise(kLength, 1)));
  CHECK(get(stable) == noise(kLength, 1));
  CHECK(volume->status()->quarantined == 0);
}

TEST_CASE_FIXTURE(TwoFates, "F3: looking on does not make stable what was not") {
  damage(2);
  SUBCASE("an opening that fails before it has recovered") {
    use_faulty_disk().add({.operation = common::io::Operation::Sync,
                           .path_contains = "segments",
                           .error_number = EIO,
                           .before = {}});
    CHECK_FAILS(open(), ErrorCode::IoError);
    options.segment_io = nullptr;
  }
  SUBCASE("a check") {
    const auto report = check_volume(path(), {}, clock);
    REQUIRE_OK(report);
    CHECK(!report->is_sound());
  }
  REQUIRE_OK(open());
  CHECK(volume->report().rolled_back == 1);
  CHECK(volume->report().damaged_blocks == 0);
  CHECK(volume->status()->quarantined == 0);
  CHECK(get(stable) == noise(kLength, 1));
  // And what has been recovered is known to be stable from then on.
  REQUIRE_OK(put(newest, noise(kLength, 3)));
  CHECK(get(newest) == noise(kLength, 3));
}
