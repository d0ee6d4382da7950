#include "common/db/database.hpp"

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/support/eventually.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;

TEST_CASE("what was committed is read at once, and after opening again") {
  const TemporaryDirectory directory;
  {
    auto db = open_db(directory);
    REQUIRE_OK(db);
    CHECK_OK(put(**db, 1, "one"));
    CHECK(*get(**db, 1) == "one");
    CHECK_FAILS(get(**db, 2), ErrorCode::NotFound);
    CHECK_OK((*db)->close());
  }
  auto db = open_db(directory);
  REQUIRE_OK(db);
  CHECK(*get(**db, 1) == "one");
  CHECK((*db)->committed() == (*db)->stable());
  CHECK_OK((*db)->check(Database::CheckDepth::Full));
}

TEST_CASE("a database's files belong to their owner alone") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  CHECK_OK(put(*db, 1, "secret"));
  CHECK_OK(count(*db));
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path)) {
    CAPTURE(entry.path().string());
    CHECK((entry.status().permissions() & std::filesystem::perms(0077)) ==
          std::filesystem::perms::none);
    ++files;
  }
  CHECK(files == 5);  // the database, its WAL, the WAL's index, the mark, the lock
}

TEST_CASE("a commit gives its value and a number that grows, and a failed one leaves nothing") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  const auto first = db->commit([](WriteTx& tx) -> Result<int> {
    TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (1, x'00')"));
    return 42;
  });
  REQUIRE_OK(first);
  CHECK(first->value == 42);
  const auto failed = db->commit([](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (2, x'00')"));
    return common::fail(ErrorCode::Conflict, "no");
  });
  CHECK_FAILS(failed, ErrorCode::Conflict);
  CHECK(db->committed() == first->number);
  CHECK(*count(*db) == 1);
  CHECK_FAILS(put(*db, 1, "again"), ErrorCode::AlreadyExists);
  CHECK(*put(*db, 2, "two") == first->number + 1);
}

TEST_CASE("a savepoint undoes its part of a commit unless released") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  CHECK_OK(db->commit([](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (1, x'00')"));
    {
      TROTH_TRY(auto part, tx.savepoint());
      TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (2, x'00')"));
    }
    TROTH_TRY(auto part, tx.savepoint());
    TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (3, x'00')"));
    return part.release();
  }));
  CHECK_OK(get(*db, 1));
  CHECK_FAILS(get(*db, 2), ErrorCode::NotFound);
  CHECK_OK(get(*db, 3));
}

TEST_CASE("a part of a commit is undone also when the commit's time is over") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  const auto done = db->commit(
      [&](WriteTx& tx) -> Status {
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (1, x'00')"));
        TROTH_TRY(auto part, tx.savepoint());
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (2, x'00')"));
        const Status endless = tx.run(
            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n");
        CHECK_FAILS(endless, ErrorCode::DeadlineExceeded);
        return {};  // as if the part did not matter
      },
      soon(50ms));
  CHECK_OK(done);
  CHECK_OK(get(*db, 1));
  CHECK_FAILS(get(*db, 2), ErrorCode::NotFound);
}

TEST_CASE("values keep their type and their bytes") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  const std::string every_byte = [] {
    std::string all;
    for (int i = 0; i < 256; ++i)
      all.push_back(static_cast<char>(i));
    return all;
  }();
  CHECK_OK(put(*db, 1, every_byte));
  CHECK(*get(*db, 1) == every_byte);
  CHECK_OK(put(*db, 2, ""));
  CHECK(*get(*db, 2) == "");
  CHECK_OK(db->read([](ReadTx& tx) -> Status {
    TROTH_TRY(auto row,
              tx.query("SELECT ?1, ?2, ?3, ?4, ?5", std::int64_t{-7}, std::uint64_t{1} << 62,
                       "t\xC3\xA9xt", nullptr, std::string_view()));
    TROTH_TRY(const bool found, row.step());
    CHECK(found);
    CHECK(row.column_int64(0) == -7);
    CHECK(row.column_uint64(1) == std::uint64_t{1} << 62);
    CHECK(row.column_text(2) == "t\xC3\xA9xt");
    CHECK(row.column_is_null(3));
    CHECK_FALSE(row.column_is_null(4));
    return {};
  }));
  const auto too_large = db->read(
      [](ReadTx& tx) -> Status { return tx.query("SELECT ?1", ~std::uint64_t{0})->run(); });
  CHECK_FAILS(too_large, ErrorCode::InvalidArgument);
}

TEST_CASE("a read sees one state from its beginning to its end, and cannot write") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  CHECK_OK(db->read([&](ReadTx& tx) -> Status {
    const auto entries = [&]() -> std::int64_t {
      auto row = tx.query("SELECT count(*) FROM entry");
      return row && *row->step() ? row->column_int64(0) : -1;
    };
    CHECK(entries() == 0);
    CHECK_OK(put(*db, 1, "x"));
    CHECK(entries() == 0);
    CHECK_FALSE(tx.query("DELETE FROM entry")->run().has_value());
    return {};
  }));
  CHECK(*count(*db) == 1);
}

TEST_CASE("a read ends when its time is over, in the middle of a statement too") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.longest_read = 50ms});
  const auto endless = db->read([](ReadTx& tx) -> Status {
    TROTH_TRY(auto rows, tx.query("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n) "
                                  "SELECT max(i) FROM n"));
    return rows.run();
  });
  CHECK_FAILS(endless, ErrorCode::DeadlineExceeded);
  CHECK_OK(count(*db));
}

TEST_CASE("more reads than connections wait for one, up to their deadline") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.readers = 1});
  CHECK_OK(db->read([&](ReadTx&) -> Status {
    const auto inner = db->read([](ReadTx&) -> Status { return {}; }, soon(5ms));
    CHECK_FAILS(inner, ErrorCode::Overloaded);
    return {};
  }));
  CHECK_OK(count(*db));
}

TEST_CASE("a newer schema is refused with a sentence, an older one is brought up to date (F74)") {
  const TemporaryDirectory directory;
  constexpr Migration kTwo[] = {kSchema[0], {"ALTER TABLE entry ADD COLUMN extra INTEGER;"}};
  const auto open_with = [&](std::span<const Migration> migrations) {
    return Database::open(directory.db(), {.application_id = 0x74657374}, migrations,
                          system_clock());
  };
  { CHECK_OK(put(**open_db(directory), 1, "kept")); }
  {
    auto db = open_with(kTwo);
    REQUIRE_OK(db);
    CHECK(*get(**db, 1) == "kept");
    CHECK_OK((*db)->read(
        [](ReadTx& tx) -> Status { return tx.query("SELECT extra FROM entry")->run(); }));
  }
  const auto refused = open_db(directory);
  CHECK_FAILS(refused, ErrorCode::Unsupported);
  CHECK(refused.error().message.find("use a newer program") != std::string::npos);
}

TEST_CASE("a migration that fails leaves the version before it") {
  const TemporaryDirectory directory;
  { CHECK_OK(put(**open_db(directory), 1, "kept")); }
  constexpr Migration kBroken[] = {kSchema[0],
                                   {"CREATE TABLE half(x); INSERT INTO missing VALUES (1);"}};
  CHECK_FAILS(
      Database::open(directory.db(), {.application_id = 0x74657374}, kBroken, system_clock()),
      ErrorCode::Internal);
  auto db = open_db(directory);
  REQUIRE_OK(db);
  CHECK(*get(**db, 1) == "kept");
  CHECK_OK((*db)->commit([](WriteTx& tx) { return tx.run("CREATE TABLE half(x)"); }));
}

TEST_CASE("another application's database and files that are none are refused") {
  const TemporaryDirectory directory;
  { CHECK_OK(open_db(directory)); }
  CHECK_FAILS(Database::open(directory.db(), {.application_id = 1}, kSchema, system_clock()),
              ErrorCode::InvalidArgument);
  const TemporaryDirectory other;
  std::ofstream(other.db()) << std::string(10'000, 'x');
  CHECK_FAILS(open_db(other), ErrorCode::Corrupt);
  CHECK_FAILS(Database::open(other.path + "/no/such.db", {}, kSchema, system_clock()),
              ErrorCode::NotFound);
}

TEST_CASE("one object has a database at a time, also within a process (F12)") {
  const TemporaryDirectory directory;
  auto db = open_db(directory);
  REQUIRE_OK(db);
  const auto second = open_db(directory);
  CHECK_FAILS(second, ErrorCode::Busy);
  CHECK(second.error().message.find("process " + std::to_string(::getpid())) != std::string::npos);
  CHECK_OK((*db)->close());
  CHECK_OK(open_db(directory));
}

TEST_CASE("a commit becomes stable by itself, and when asked at once") {
  const TemporaryDirectory directory;
  int hooks = 0;
  auto db = *open_db(directory, {.flush_interval = 1h, .before_sync = [&]() -> Status {
                                   ++hooks;
                                   return {};
                                 }});
  const auto number = put(*db, 1, "x");
  CHECK(db->stable() < *number);
  CHECK_OK(db->wait_stable(*number, soon()));
  CHECK(db->stable() == *number);
  CHECK(hooks == 1);
  CHECK_OK(db->sync(soon()));
  CHECK(hooks == 1);
  CHECK_FAILS(db->wait_stable(*number + 1, soon()), ErrorCode::InvalidArgument);
}

TEST_CASE("the WAL is copied and reused, and a reader that stays does not make it grow for ever") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.checkpoint_pages = 50, .wal_cap_pages = 100});
  const std::string value(3000, 'v');
  for (int i = 0; i < 1000; ++i)
    REQUIRE_OK(put(*db, i, value));
  const auto quiet = db->status();
  CHECK(quiet.checkpoints >= 3);
  CHECK(std::filesystem::file_size(directory.db() + "-wal") < 1'000'000);
  // F11: a read transaction is held; the alarm is raised, then writing is refused, never unbounded.
  CHECK_OK(db->read([&](ReadTx& tx) -> Status {
    TROTH_TRY_VOID(tx.query("SELECT count(*) FROM entry")->run());
    Status refused;
    for (int i = 1000; i < 3000 && refused; ++i) {
      auto done = put(*db, i, value);
      if (!done)
        refused = tl::unexpected(done.error());
    }
    CHECK_FAILS(refused, ErrorCode::Overloaded);
    CHECK(db->status().wal_over_cap);
    return {};
  }));
  CHECK(std::filesystem::file_size(directory.db() + "-wal") < 8'000'000);
  const Instant end = soon();
  while (!put(*db, 9999, value) && system_clock().now() < end)
    CHECK_OK(count(*db));
  CHECK_OK(get(*db, 9999));
}

TEST_CASE("commits wait for a reader that has filled the WAL, and go on when it ends (F11)") {
  constexpr int kCap = 100;
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.checkpoint_pages = 50, .wal_cap_pages = kCap});
  const std::string value(3000, 'v');
  REQUIRE_OK(put(*db, 0, value));
  std::atomic<bool> reads{false};
  std::atomic<bool> full{false};
  std::thread reader([&] {
    CHECK_OK(db->read([&](ReadTx& tx) -> Status {
      TROTH_TRY_VOID(tx.query("SELECT count(*) FROM entry")->run());
      reads = true;
      CHECK(test_support::eventually([&] { return full.load(); }));
      return {};
    }));
  });
  CHECK(test_support::eventually([&] { return reads.load(); }));
  std::thread writer([&] {
    for (int i = 1; i < 2000; ++i)
      CHECK_OK(put(*db, i, value));
  });
  CHECK(test_support::eventually([&] { return db->status().wal_pages > 6 * kCap; }));
  full = true;
  reader.join();
  writer.join();
  CHECK(std::filesystem::file_size(directory.db() + "-wal") < 8 * kCap * 4200);
}

TEST_CASE(
    "a read sees every commit that had returned, whoever has read before with its connection") {
  constexpr int kCommits = 400;
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.readers = 3});
  std::atomic<std::int64_t> returned{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      std::int64_t last = 0;
      while (last < kCommits) {
        const std::int64_t before = returned.load();
        const auto seen = count(*db);
        CHECK_OK(seen);
        if (!seen)
          return;
        CHECK(*seen >= before);
        CHECK(*seen >= last);
        last = *seen;
      }
    });
  }
  for (int i = 0; i < kCommits; ++i) {
    CHECK_OK(put(*db, i, "v"));
    returned.store(i + 1);
    CHECK(*count(*db) == i + 1);
  }
  for (auto& reader : readers)
    reader.join();
}

TEST_CASE("connections that have read do not keep the WAL from being copied and begun anew") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.readers = 3, .checkpoint_pages = 50, .wal_cap_pages = 5'000});
  const std::string value(3000, 'v');
  // All three at once, then none.
  const auto read_with_all = [&] {
    CHECK_OK(db->read([&](ReadTx& first) -> Status {
      TROTH_TRY_VOID(first.query("SELECT count(*) FROM entry")->run());
      return db->read([&](ReadTx& second) -> Status {
        TROTH_TRY_VOID(second.query("SELECT count(*) FROM entry")->run());
        CHECK_OK(count(*db));
        return {};
      });
    }));
  };
  int written = 0;
  for (int round = 0; round < 5; ++round) {
    read_with_all();
    const std::uint64_t before = db->status().checkpoints;
    // However late the thread that copies gets its turn, nobody reads when it does.
    for (int i = 0; i < 60; ++i)
      REQUIRE_OK(put(*db, written++, value));
    const Instant end = soon();
    while (db->status().checkpoints == before && system_clock().now() < end)
      std::this_thread::yield();
    CHECK(db->status().checkpoints > before);
    CHECK(db->status().blocked_checkpoints == 0);
  }
}

TEST_CASE("what readers see has a number, which changes with each commit and with nothing else") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  const std::uint64_t first = db->read_state();
  CHECK(first != 0);
  CHECK_OK(count(*db));
  CHECK_FAILS(db->commit([&](WriteTx&) -> Status {
    CHECK(db->read_state() == first);
    return common::fail(ErrorCode::Conflict, "no");
  }),
              ErrorCode::Conflict);
  CHECK(db->read_state() == first);
  CHECK_OK(put(*db, 1, "x"));
  const std::uint64_t second = db->read_state();
  CHECK(second != first);
  CHECK(second != 0);
  // Of another database, or of this one opened anew, no number is the same.
  const TemporaryDirectory elsewhere;
  const auto other = *open_db(elsewhere);
  CHECK(other->read_state() != second);
  CHECK_OK(db->close());
  db = *open_db(directory);
  CHECK(db->read_state() > second);
}
