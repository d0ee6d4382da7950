#include <atomic>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "common/failpoint/failpoint.hpp"
#include "common/sync/event.hpp"
#include "tests/support/allocation_failure.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;

namespace {

// Holds the writer inside a commit until `commits` more wait, so that they form one group; then
// lets `tasks` run, one thread each, and returns when all are done.
void run_as_one_group(Database& db, std::vector<std::function<void()>> tasks) {
  common::Event held;
  common::Event release;
  std::thread holder([&] {
    CHECK_OK(db.commit([&](WriteTx&) -> Status {
      held.set();
      CHECK(release.wait_for(30s));
      return {};
    }));
  });
  CHECK(held.wait_for(30s));
  std::vector<std::thread> threads;
  threads.reserve(tasks.size());
  for (auto& task : tasks)
    threads.emplace_back(task);
  const Instant end = soon();
  while (db.status().waiting < tasks.size() && system_clock().now() < end) {
    std::this_thread::yield();
  }
  CHECK(db.status().waiting == tasks.size());
  release.set();
  holder.join();
  for (auto& thread : threads)
    thread.join();
}

}  // namespace

TEST_CASE("many callers' commits all happen, in groups") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  constexpr int kThreads = 16;
  constexpr int kEach = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::uint64_t last = 0;
      for (int i = 0; i < kEach; ++i) {
        const auto number = put(*db, t * kEach + i, "v");
        CHECK_OK(number);
        if (number)
          CHECK(*number > last);
        if (number)
          last = *number;
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(*count(*db) == kThreads * kEach);
  const auto status = db->status();
  CHECK(status.largest_group > 1);
  CHECK(status.committed < status.requests);
}

TEST_CASE("a failing commit of a group leaves the others alone, and each has its own answer") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  std::vector<std::function<void()>> tasks;
  for (int key = 0; key < 20; ++key) {
    tasks.emplace_back([&, key] {
      const auto done = db->commit([&](WriteTx& tx) -> Result<int> {
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, x'00')", key));
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, x'00')", key + 1000));
        if (key % 3 == 1)
          return common::fail(ErrorCode::Conflict, "refused");
        if (key % 3 == 2)
          throw std::runtime_error("thrown");
        return key;
      });
      if (key % 3 == 0) {
        CHECK_OK(done);
        if (done)
          CHECK(done->value == key);
      } else {
        CHECK_FAILS(done, key % 3 == 1 ? ErrorCode::Conflict : ErrorCode::Internal);
      }
    });
  }
  run_as_one_group(*db, std::move(tasks));
  CHECK(db->status().largest_group >= 20);
  for (int key = 0; key < 20; ++key) {
    CAPTURE(key);
    CHECK(get(*db, key).has_value() == (key % 3 == 0));
    CHECK(get(*db, key + 1000).has_value() == (key % 3 == 0));
  }
}

TEST_CASE("when SQLite gives up a whole group, all but the one to blame are still done") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  std::vector<std::function<void()>> tasks;
  for (int key = 0; key < 8; ++key) {
    tasks.emplace_back([&, key] {
      const auto done = db->commit([&](WriteTx& tx) -> Status {
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, x'00')", key));
        // The transaction vanishes under the others' savepoints, as after a failed allocation.
        if (key == 5)
          static_cast<void>(tx.run("ROLLBACK"));
        return {};
      });
      CHECK(done.has_value() == (key != 5));
    });
  }
  run_as_one_group(*db, std::move(tasks));
  CHECK(*count(*db) == 7);
  CHECK_FAILS(get(*db, 5), ErrorCode::NotFound);
  CHECK_OK(db->health());
}

TEST_CASE("a commit that waits past its deadline is not executed") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  const auto outer = db->commit([&](WriteTx&) -> Status {
    std::thread waiter(
        [&] { CHECK_FAILS(put(*db, 1, "late", soon(5ms)), ErrorCode::DeadlineExceeded); });
    waiter.join();
    return {};
  });
  CHECK_OK(outer);
  CHECK_FAILS(put(*db, 2, "late", soon(-1ms)), ErrorCode::DeadlineExceeded);
  CHECK(*count(*db) == 0);
  CHECK(db->status().waiting == 0);
}

TEST_CASE("commits and waits for stability from many threads agree") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.checkpoint_pages = 100});
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const auto number = put(*db, t * 50 + i, std::string(1000, 'x'));
        REQUIRE_OK(number);
        if (i % 5 != 0)
          continue;
        CHECK_OK(db->wait_stable(*number, soon()));
        CHECK(db->stable() >= *number);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(*count(*db) == 400);
  CHECK_OK(db->sync(soon()));
  CHECK(db->stable() == db->committed());
}

TEST_CASE("who waits while somebody else syncs is woken by that, or syncs for all the others") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  auto db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  common::Event syncing;
  common::Event release;
  std::atomic<int> syncs{0};
  int outcome = 0;
  disk.set({.write = nullptr, .sync = [&](DiskFile file) {
              if (file != DiskFile::Wal || syncs++ != 0)
                return 0;
              syncing.set();
              CHECK(release.wait_for(30s));
              return outcome;
            }});
  const auto wait_many = [&](std::vector<std::thread>& threads, std::uint64_t number) {
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, number] {
        const Status stable = db->wait_stable(number, soon());
        CHECK(stable.has_value() == (outcome == 0));
        CHECK((!stable || db->stable() >= number));
      });
    }
  };
  SUBCASE("and it succeeds") {}
  SUBCASE("and it fails") {
    outcome = EIO;
  }
  std::vector<std::thread> threads;
  const std::uint64_t first = *put(*db, 1, "first");
  wait_many(threads, first);
  CHECK(syncing.wait_for(30s));
  const std::uint64_t second = *put(*db, 2, "second");
  wait_many(threads, second);
  // Nobody is held up by another's sync beyond the own deadline.
  CHECK_FAILS(db->wait_stable(second, soon(5ms)), ErrorCode::DeadlineExceeded);
  release.set();
  for (auto& thread : threads)
    thread.join();
  CHECK(syncs == (outcome == 0 ? 2 : 1));
  CHECK(db->health().has_value() == (outcome == 0));
}

TEST_CASE("db-writer without memory fails a group's commits, and not the process (F35)") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  std::atomic<int> failed{0};
  std::optional<test_support::FailAllocation> failure;
  std::vector<std::function<void()>> tasks;
  for (int key = 0; key < 4; ++key) {
    tasks.emplace_back([&, key] {
      const auto done = db->commit([&](WriteTx& tx) -> Status {
        TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, x'00')", key));
        if (key != 2)
          return {};
        // On db-writer, the allocation that tells of this fails.
        const std::runtime_error thrown("something that takes more than a few bytes to say");
        failure.emplace(1);
        throw thrown;
      });
      if (!done) {
        ++failed;
        CHECK_FAILS(done, ErrorCode::ResourceExhausted);
      }
      CHECK((done.has_value() ? key != 2 : true));
    });
  }
  run_as_one_group(*db, std::move(tasks));
  CHECK(failed.load() >= 1);
  CHECK(*count(*db) == 4 - failed.load());
  CHECK_OK(db->health());
  CHECK_OK(put(*db, 100, "goes on"));
}

TEST_CASE("a lone commit while db-writer falls asleep is copied from the WAL when idle") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  const TemporaryDirectory directory;
  auto db = *open_db(directory);
  std::thread committer;
  common::Event committed;
  bool begun = false;  // db-writer's
  common::failpoint::arm_call("db.writer.falls_asleep", [&]() -> Status {
    if (begun || db->status().wal_pages != 0)
      return {};
    begun = true;
    committer = std::thread([&] { CHECK_OK(put(*db, 1, "late")); });
    const Instant end = soon();
    while (db->status().wal_pages == 0 && system_clock().now() < end)
      std::this_thread::yield();
    committed.set();
    return {};
  });
  // Once this is copied, there is nothing left to do, and db-writer means to sleep for long.
  CHECK_OK(put(*db, 0, "early"));
  REQUIRE(committed.wait_for(30s));
  const Instant end = soon(10s);
  while (db->status().wal_pages != 0 && system_clock().now() < end)
    std::this_thread::yield();
  CHECK(db->status().wal_pages == 0);
  committer.join();
  CHECK_OK(db->close());
  common::failpoint::disarm_all();
}
