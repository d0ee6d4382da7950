// Power loss: many images of what a disk may hold, each of which must open, be consistent, and hold
// every commit that was reported stable.

#include <algorithm>

#include "tests/support/db_crash_check.hpp"
#include "tests/support/db_crash_model.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;
using test_support::CrashVerdict;
using test_support::RecordingDisk;

namespace {

constexpr int kImages = 1000;
constexpr int kEntries = 400;
constexpr int kRecoveries = 30;  // each of several power losses

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

// What a machine does that loses power again and again, also while it recovers.
struct Recovered {
  bool refused = false;
  bool stable_lost = false;
  int crashes_in_open = 0;
  std::string why;
};

// Recovers `image` and goes on for a moment, loses power somewhere in that, mostly while still
// opening, and so on with what is left; the last one recovers in peace.
Recovered recover_again_and_again(const TemporaryDirectory& image, std::uint64_t stable,
                                  int generations, std::mt19937_64& random) {
  Recovered result;
  const TemporaryDirectory next(test_support::scratch_directory());
  for (int generation = 0; generation < generations; ++generation) {
    RecordingDisk disk;
    disk.start(image.db());
    std::size_t opened_at = 0;
    {
      auto db = test_support::open_crash_database(image.db(), system_clock(), &disk);
      if (!db) {
        result.refused = true;
        result.why = "generation " + std::to_string(generation) + ": " + db.error().message;
        return result;
      }
      opened_at = disk.length();
      disk.note_stable((*db)->stable());
      const auto entries = (*db)->read([](ReadTx& tx) -> Result<std::int64_t> {
        TROTH_TRY(auto row, tx.query("SELECT entries FROM total"));
        TROTH_TRY(const bool found, row.step());
        return found ? row.column_int64(0) : -1;
      });
      for (int i = 1; entries && i <= 3; ++i)
        static_cast<void>(test_support::add_entry(**db, *entries + i));
      // Closing in order is interrupted, too.
    }
    const bool in_open = random() % 4 != 0;
    const std::size_t position = random() % ((in_open ? opened_at : disk.length()) + 1);
    result.crashes_in_open += in_open ? 1 : 0;
    stable = std::max(stable, disk.make_image(position, random, next.db()).stable);
    for (const char* suffix : {"", "-wal", "-mark"}) {
      std::filesystem::copy_file(next.db() + suffix, image.db() + suffix,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::remove(image.db() + "-shm");
  }
  const CrashVerdict verdict = test_support::inspect_crash_database(image.db(), system_clock());
  result.refused = !verdict.consistent;
  result.why = verdict.why;
  result.stable_lost = verdict.consistent && verdict.commits < stable;
  return result;
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

TEST_CASE("no power loss while recovering from one takes anything, however often (G6)") {
  std::mt19937_64 random(20240301);
  const TemporaryDirectory directory(test_support::scratch_directory());
  RecordingDisk disk;
  record(disk, directory.db(), random);
  int crashes_in_open = 0;
  for (int i = 0; i < kRecoveries; ++i) {
    const TemporaryDirectory image(test_support::scratch_directory());
    const auto first = disk.make_image(random() % (disk.length() + 1), random, image.db());
    const Recovered result = recover_again_and_again(image, first.stable, 3, random);
    CAPTURE(i);
    CAPTURE(result.why);
    CHECK_FALSE(result.refused);
    CHECK_FALSE(result.stable_lost);
    crashes_in_open += result.crashes_in_open;
  }
  CHECK(crashes_in_open > kRecoveries);
}
