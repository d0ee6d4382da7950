// F35: SQLite's n-th allocation fails, for every n that a piece of work has.

#include <sqlite3.h>

#include "common/db/allocation_faults.hpp"
#include "tests/support/allocation_failure.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;

namespace {

// Far above what any of the pieces of work below allocates.
constexpr std::uint64_t kEnough = 20'000;

// Before main: SQLite takes an allocator only before its first use.
const bool kInstalled = common::db::install_allocation_faults();

}  // namespace

TEST_CASE(
    "a commit or read that runs out of memory fails alone and leaves nothing half-done (F35)") {
  REQUIRE(kInstalled);
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.flush_interval = 1h});
  std::int64_t entries = 0;
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1; n < kEnough; ++n) {
    CAPTURE(n);
    common::db::fail_allocations(n);
    const auto done = db->commit([&](WriteTx& tx) -> Status {
      TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, zeroblob(9000))", n));
      // A text of its own each time, so that preparing fails, too.
      TROTH_TRY(auto update,
                tx.query("UPDATE entry SET value = x'01' WHERE key = " + std::to_string(n)));
      return update.run();
    });
    const auto look = db->read([&](ReadTx& tx) -> Status {
      TROTH_TRY(auto rows,
                tx.query("SELECT count(*) FROM entry WHERE key <> " + std::to_string(n)));
      return rows.run();
    });
    const std::uint64_t failed = common::db::stop_failing_allocations();
    if (!done)
      CHECK_FAILS(done, ErrorCode::ResourceExhausted);
    if (!look)
      CHECK_FAILS(look, ErrorCode::ResourceExhausted);
    if (done)
      ++entries;
    CHECK(*count(*db) == entries);
    CHECK_OK(db->health());
    failures += failed;
    if (failed == 0)
      break;
  }
  CHECK(failures > 10);
  CHECK_OK(db->check(Database::CheckDepth::Full));
}

TEST_CASE("what a commit without memory left in the WAL does not come back after a crash (F35)") {
  REQUIRE(kInstalled);
  std::uint64_t failures = 0;
  for (std::uint64_t n = 1; n < kEnough;) {
    const TemporaryDirectory directory(test_support::scratch_directory());
    auto db = *open_db(
        directory, {.flush_interval = 1h, .checkpoint_pages = 100'000, .wal_cap_pages = 100'000});
    // The WAL's index grows, which takes memory, after 4,062 pages.
    CHECK_OK(put(*db, 1, std::string(std::size_t{4040} * 4084, 'x')));
    REQUIRE(db->status().wal_pages > 4040);
    REQUIRE(db->status().wal_pages < 4058);
    bool done = false;
    std::uint64_t failed = 1;
    for (; !done && failed > 0; ++n) {
      CAPTURE(n);
      common::db::fail_allocations(n);
      const auto put_now = put(*db, 2, std::string(100'000, 'y'));
      failed = common::db::stop_failing_allocations();
      done = put_now.has_value();
      if (done)
        continue;
      ++failures;
      CHECK_FAILS(put_now, ErrorCode::ResourceExhausted);
      const TemporaryDirectory crashed(test_support::scratch_directory());
      for (const char* suffix : {"", "-wal", "-mark"})
        std::filesystem::copy_file(directory.db() + suffix, crashed.db() + suffix);
      CHECK(*count(**open_db(crashed)) == 1);
    }
    if (failed == 0)
      break;
  }
  CHECK(failures > 2);
}

TEST_CASE("opening a database that runs out of memory fails, and works the next time (F35)") {
  REQUIRE(kInstalled);
  const TemporaryDirectory directory;
  { CHECK_OK(put(**open_db(directory), 1, "kept")); }
  for (std::uint64_t n = 1; n < kEnough; n += 1 + n / 10) {
    CAPTURE(n);
    common::db::fail_allocations(n);
    const bool opened = open_db(directory).has_value();
    if (common::db::stop_failing_allocations() == 0) {
      CHECK(opened);
      break;
    }
    CHECK(*get(**open_db(directory), 1) == "kept");
  }
}

TEST_CASE("no statement is left behind when there is no memory to keep it (F35)") {
  const TemporaryDirectory directory;
  { REQUIRE_OK(open_db(directory)); }
  const sqlite3_int64 before = sqlite3_memory_used();
  std::uint64_t failures = 0;
  {
    // Without readers of its own, all of what SQLite holds goes with the database.
    auto db = *open_db(directory);
    int number = 0;
    failures = test_support::fail_each_allocation(
        [&] {
          static_cast<void>(db->commit([&](WriteTx& tx) -> Status {
            const std::string sql = "SELECT count(*) FROM entry WHERE key <> " +
                                    std::to_string(number++) + " AND key <> -1";
            return tx.query(sql)->run();
          }));
        },
        [] {});
  }
  CHECK(failures > 2);
  CHECK(sqlite3_memory_used() == before);
}
