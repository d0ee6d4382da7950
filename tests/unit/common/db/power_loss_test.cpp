// Power loss: many images of what a disk may hold, each of which must open, be consistent, and hold
// every commit that was reported stable.

#include "tests/support/db_crash_check.hpp"
#include "tests/support/db_crash_model.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;
using test_support::CrashVerdict;
using test_support::RecordingDisk;

namespace {

constexpr int kImages = 1000;
constexpr int kEntries = 400;

// A run with syncs now and then, some asked for, some by the flusher, over several checkpoints.
void record(RecordingDisk& disk, const std::string& path, std::mt19937_64& random) {
  auto db = test_support::open_crash_database(path, system_clock(), &disk);
  REQUIRE_OK(db);
  disk.start(path);
  for (std::int64_t key = 1; key <= kEntries; ++key) {
    const auto number = test_support::add_entry(**db, key);
    REQUIRE_OK(number);
    if (random() % 8 != 0)
      continue;
    REQUIRE_OK((*db)->wait_stable(*number, soon()));
    disk.note_stable((*db)->stable());
  }
  CHECK((*db)->status().checkpoints >= 3);
  REQUIRE_OK((*db)->close());
}

struct Tally {
  int bad = 0;          // refused or inconsistent
  int stable_lost = 0;  // opened, but a stable commit is missing
  std::string why;
};

Tally crash(const RecordingDisk& disk, int images, std::mt19937_64& random) {
  const TemporaryDirectory scratch(test_support::scratch_directory());
  Tally tally;
  for (int i = 0; i < images; ++i) {
    const std::size_t position = random() % (disk.length() + 1);
    const auto image = disk.make_image(position, random, scratch.db());
    std::filesystem::remove(scratch.db() + "-shm");
    const CrashVerdict verdict = test_support::inspect_crash_database(scratch.db(), system_clock());
    if (!verdict.consistent) {
      ++tally.bad;
      tally.why = "at " + std::to_string(position) + ": " + verdict.why;
    } else if (verdict.commits < image.stable) {
      ++tally.stable_lost;
    }
  }
  return tally;
}

}  // namespace

TEST_CASE("no power loss corrupts the database or takes a stable commit (G6)") {
  std::mt19937_64 random(20240229);
  const TemporaryDirectory directory(test_support::scratch_directory());
  RecordingDisk disk;
  record(disk, directory.db(), random);
  const Tally tally = crash(disk, kImages, random);
  CAPTURE(tally.why);
  CHECK(tally.bad == 0);
  CHECK(tally.stable_lost == 0);
}

TEST_CASE("the model finds a database that only pretends to sync its WAL") {
  std::mt19937_64 random(7);
  const TemporaryDirectory directory(test_support::scratch_directory());
  RecordingDisk disk({.wal_syncs_lie = true});
  record(disk, directory.db(), random);
  const Tally tally = crash(disk, 60, random);
  // The mark catches those that went back, so they are refused rather than served.
  CHECK(tally.bad + tally.stable_lost > 0);
}
