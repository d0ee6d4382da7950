// What a database does when its disk fails, fills up, or changes behind its back.

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "common/db/page_checksum.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;

namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Adds entries, and returns once the stable mark on the disk tells of them.
void fill(Database& db, int entries, const std::atomic<int>& marks) {
  for (int i = 0; i < entries; ++i) {
    static_cast<void>(put(db, i, "value " + std::string(static_cast<std::size_t>(i % 700), 'v')));
  }
  static_cast<void>(db.sync(soon()));
  // The mark follows on the flusher's thread: one that is begun after this sync, and complete when
  // the next is begun, tells of it.
  for (int i = 0; i < 2; ++i) {
    const int seen = marks.load();
    static_cast<void>(db.commit([](WriteTx&) -> Status { return {}; }));
    const Instant end = soon();
    while (marks.load() == seen && system_clock().now() < end)
      std::this_thread::yield();
  }
}

// A database of some tens of pages, closed in order unless `killed`: then its entries are in the
// WAL, where a reader that was there before them keeps them, however slow the machine.
void make_database(const TemporaryDirectory& directory, int entries, bool killed) {
  const auto make = [&] {
    std::atomic<int> marks{0};
    ScriptedDisk disk;
    disk.set({.write = nullptr, .sync = [&](DiskFile file) {
                if (file == DiskFile::Mark)
                  ++marks;
                return 0;
              }});
    auto db = open_db(directory, {.flush_interval = 1ms, .probe = &disk});
    if (!db)
      return;
    if (!killed)
      return fill(**db, entries, marks);
    static_cast<void>((*db)->read([&](ReadTx& tx) -> Status {
      TROTH_TRY_VOID(tx.query("SELECT count(*) FROM entry")->run());
      fill(**db, entries, marks);
      ::_exit(0);
    }));
  };
  if (killed) {
    test_support::run_and_kill(make, 60s);
  } else {
    make();
  }
}

}  // namespace

TEST_CASE("a failed sync stops all writing until the database is opened again (F6)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  auto db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  CHECK_OK(put(*db, 1, "before"));
  bool failed = false;
  disk.set({.write = nullptr, .sync = [&](DiskFile file) {
              return file == DiskFile::Wal && !std::exchange(failed, true) ? EIO : 0;
            }});
  CHECK_FAILS(db->sync(soon()), ErrorCode::IoError);
  // The disk works again, but nobody may act as if nothing had happened.
  CHECK_FAILS(put(*db, 2, "after"), ErrorCode::IoError);
  CHECK_FAILS(db->sync(soon()), ErrorCode::IoError);
  CHECK_FAILS(db->health(), ErrorCode::IoError);
  CHECK(db->status().poison.has_value());
  CHECK(db->stable() < db->committed());
  CHECK(*get(*db, 1) == "before");
  CHECK_FALSE(db->close().has_value());
  db.reset();
  db = *open_db(directory);
  CHECK(*get(*db, 1) == "before");
  CHECK_OK(put(*db, 2, "after"));
}

TEST_CASE("a mark that is held stays where it was, closed or not, until it is released") {
  const TemporaryDirectory directory;
  std::uint64_t before = 0;
  {
    const auto db = *open_db(directory);
    before = *put(*db, 1, "marked");
    CHECK_OK(db->close());
  }
  const Options held{.flush_interval = 1ms, .hold_mark = true};
  for (int i = 2; i < 4; ++i) {
    const auto db = *open_db(directory, held);
    CHECK(db->marked_when_opened() == before);
    CHECK_OK(put(*db, i, "stable, and not marked"));
    CHECK_OK(db->sync(soon()));
    CHECK(db->stable() > before);
    if (i == 3)
      CHECK_OK(db->close());
  }
  std::uint64_t after = 0;
  {
    const auto db = *open_db(directory, held);
    CHECK(db->marked_when_opened() == before);
    after = *put(*db, 4, "marked, too");
    db->release_mark();
    CHECK_OK(db->close());
  }
  const auto db = *open_db(directory, held);
  CHECK(db->marked_when_opened() == after);
  CHECK(*count(*db) == 4);
}

TEST_CASE("opening after an unclean stop writes anew what the WAL held (F6)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  auto db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  CHECK_OK(put(*db, 1, "before"));
  // As after a failed sync: the kernel shows bytes that it will never write.
  disk.set(
      {.write = nullptr, .sync = [](DiskFile file) { return file == DiskFile::Wal ? EIO : 0; }});
  CHECK_FAILS(db->sync(soon()), ErrorCode::IoError);
  db.reset();
  REQUIRE(std::filesystem::file_size(directory.db() + "-wal") > 0);
  disk.set({});
  db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  CHECK(std::filesystem::file_size(directory.db() + "-wal") == 0);
  CHECK(*get(*db, 1) == "before");
  CHECK_OK(put(*db, 2, "after"));
  db.reset();

  // Without room for it the database is served all the same, from its WAL.
  {
    auto unclean = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
    CHECK_OK(put(*unclean, 3, "kept"));
    disk.set(
        {.write = nullptr, .sync = [](DiskFile file) { return file == DiskFile::Wal ? EIO : 0; }});
  }
  disk.set({.write = [](DiskFile file, std::size_t) { return file == DiskFile::Main ? ENOSPC : 0; },
            .sync = nullptr});
  db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  CHECK(*get(*db, 3) == "kept");
  CHECK_OK(db->health());
  disk.set({});
  CHECK_OK(put(*db, 4, "freed"));
  CHECK_OK(db->close());
}

TEST_CASE("a full disk only delays the mark, and the mark follows when there is room (F8)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  std::atomic<int> refused{0};
  std::atomic<int> written{0};
  std::atomic<bool> full{true};
  const auto script = [&](DiskFile file) {
    if (file != DiskFile::Mark)
      return 0;
    ++(full.load() ? refused : written);
    return full.load() ? ENOSPC : 0;
  };
  const auto wait_for = [](const std::atomic<int>& counter, int value) {
    const Instant end = soon();
    while (counter.load() < value && system_clock().now() < end)
      std::this_thread::yield();
    return counter.load() >= value;
  };
  auto db = *open_db(directory, {.flush_interval = 1ms, .probe = &disk});
  // Refused at the write by most file systems, at the sync by some.
  for (const bool at_sync : {false, true}) {
    CAPTURE(at_sync);
    full = true;
    refused = written = 0;
    if (at_sync) {
      disk.set({.write = nullptr, .sync = script});
    } else {
      disk.set(
          {.write = [=](DiskFile file, std::size_t) { return script(file); }, .sync = nullptr});
    }
    CHECK_OK(put(*db, at_sync ? 1 : 0, "stable without the mark"));
    CHECK_OK(db->sync(soon()));
    CHECK(wait_for(refused, 2));
    CHECK_OK(db->health());
    CHECK_OK(put(*db, at_sync ? 11 : 10, "goes on"));
    full = false;
    CHECK(wait_for(written, 1));
  }
  // What is stable by then must be in it: the database without its WAL is refused.
  CHECK_OK(db->sync(soon()));
  full = true;
  CHECK_OK(put(*db, 20, "the last"));
  CHECK_OK(db->close());  // all is on the disk; only the mark does not say so
  disk.set({});
  db = *open_db(directory, {.flush_interval = 1ms, .probe = &disk});
  CHECK(*count(*db) == 5);
  // While opening it is no reason to refuse either, unless the mark says that all is clean.
  disk.set({.write = [](DiskFile file, std::size_t) { return file == DiskFile::Mark ? ENOSPC : 0; },
            .sync = nullptr});
  CHECK_OK(db->close());
  db = *open_db(directory, {.flush_interval = 1ms, .probe = &disk});
  CHECK_OK(put(*db, 21, "and another"));
  disk.set({});
  CHECK_OK(db->close());
}

TEST_CASE("a disk that is full at a checkpoint loses nothing, which is made up for later (F8)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  constexpr int kPlenty = 1'000'000;
  std::atomic<int> room{kPlenty};  // writes to the main file
  std::atomic<int> refused{0};
  disk.set({.write =
                [&](DiskFile file, std::size_t) {
                  if (file != DiskFile::Main || room.fetch_sub(1) > 0)
                    return 0;
                  ++refused;
                  return ENOSPC;
                },
            .sync = nullptr});
  const Options how{.flush_interval = 1ms, .checkpoint_pages = 10, .probe = &disk};
  auto db = *open_db(directory, how);
  std::int64_t done = 0;
  // A page each, so that the file has to grow at every checkpoint.
  const auto put_until = [&](const std::function<bool()>& enough) {
    const Instant end = soon();
    while (!enough() && system_clock().now() < end) {
      CHECK_OK(put(*db, done, std::string(3000, 'x')));
      ++done;
    }
    return enough();
  };
  const auto whole_checkpoints = [&] {
    const auto status = db->status();
    return status.checkpoints - status.blocked_checkpoints;
  };
  for (int writes = 0; writes < 12; ++writes) {
    CAPTURE(writes);
    refused = 0;
    room = writes;
    CHECK(put_until([&] { return refused > 0; }));
    CHECK_OK(db->sync(soon()));
    CHECK_OK(db->health());
    CHECK(*count(*db) == done);
    {
      // What is on the disk now, should the power fail.
      const TemporaryDirectory copy;
      for (const char* suffix : {"", "-wal", "-mark"})
        write_file(copy.db() + suffix, read_file(directory.db() + suffix));
      const auto after = open_db(copy);
      REQUIRE_OK(after);
      CHECK(*count(**after) == done);
    }
    const auto before = whole_checkpoints();
    room = kPlenty;
    CHECK(put_until([&] { return whole_checkpoints() > before; }));
  }
  CHECK_OK(db->check(Database::CheckDepth::Full));
  // Closing copies the rest: it says that it cannot, and the WAL keeps it.
  CHECK_OK(put(*db, done++, "the last"));
  room = 0;
  CHECK_FAILS(db->close(), ErrorCode::NoSpace);
  db.reset();
  room = kPlenty;
  db = *open_db(directory, how);
  CHECK(*count(*db) == done);
  CHECK_OK(db->check(Database::CheckDepth::Full));
  CHECK_OK(db->close());
  CHECK(std::filesystem::file_size(directory.db() + "-wal") == 0);
}

TEST_CASE("a hook before the sync that throws poisons, and nobody waits for it") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.flush_interval = 1h, .before_sync = []() -> Status {
                                   throw std::runtime_error("segment");
                                 }});
  CHECK_OK(put(*db, 1, "x"));
  CHECK_FAILS(db->sync(soon()), ErrorCode::Internal);
  CHECK_FAILS(db->sync(soon()), ErrorCode::IoError);
  CHECK_FAILS(put(*db, 2, "x"), ErrorCode::IoError);
}

TEST_CASE("a failing hook before the sync poisons, too") {
  const TemporaryDirectory directory;
  auto db = *open_db(directory, {.flush_interval = 1h, .before_sync = []() -> Status {
                                   return common::fail(ErrorCode::IoError, "segment");
                                 }});
  CHECK_OK(put(*db, 1, "x"));
  CHECK_FAILS(db->sync(soon()), ErrorCode::IoError);
  CHECK_FAILS(put(*db, 2, "x"), ErrorCode::IoError);
}

TEST_CASE("a disk error during COMMIT leaves the outcome unknown and stops all writing (F6)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  auto db = *open_db(directory, {.flush_interval = 1h, .probe = &disk});
  CHECK_OK(put(*db, 1, "before"));
  disk.set({.write = [](DiskFile file, std::size_t) { return file == DiskFile::Wal ? EIO : 0; },
            .sync = nullptr});
  CHECK_FAILS(put(*db, 2, "unknown"), ErrorCode::OutcomeUnknown);
  disk.set({});
  CHECK_FAILS(put(*db, 3, "after"), ErrorCode::IoError);
  CHECK(*count(*db) == 1);
  db.reset();
  db = *open_db(directory);
  CHECK(*get(*db, 1) == "before");
  CHECK_FAILS(get(*db, 3), ErrorCode::NotFound);
}

TEST_CASE("a full disk refuses commits, keeps reads, loses nothing, and works when freed (F8)") {
  const TemporaryDirectory directory;
  ScriptedDisk disk;
  auto db = *open_db(directory, {.checkpoint_pages = 20, .probe = &disk});
  for (int i = 0; i < 10; ++i)
    REQUIRE_OK(put(*db, i, "before"));
  // Room for so many bytes more: every point of a commit and of a checkpoint is hit by some value.
  for (std::size_t room = 0; room < 60'000; room += 1777) {
    CAPTURE(room);
    common::Locked<std::size_t> left(room);
    disk.set({.write =
                  [&](DiskFile file, std::size_t bytes) {
                    auto now = left.lock();
                    if (file == DiskFile::Mark)
                      return 0;  // written in place
                    if (bytes > *now)
                      return ENOSPC;
                    *now -= bytes;
                    return 0;
                  },
              .sync = nullptr});
    std::int64_t done = *count(*db);
    for (int i = 0; i < 5; ++i) {
      const auto number = put(*db, 1'000'000 + done, std::string(3000, 'x'));
      if (number)
        ++done;
      if (!number)
        CHECK_FAILS(number, ErrorCode::NoSpace);
      CHECK(*count(*db) == done);
    }
    disk.set({});
    CHECK_OK(put(*db, 1'000'000 + done, "freed"));
    CHECK_OK(db->health());
  }
  CHECK_OK(db->check(Database::CheckDepth::Full));
}

TEST_CASE("every single flipped bit changes a page's checksum") {
  std::array<std::byte, common::db::kPageSize> page;
  std::mt19937 random(1);
  for (auto& byte : page)
    byte = static_cast<std::byte>(random());
  common::db::seal_page(5, page);
  REQUIRE(common::db::page_is_intact(5, page));
  CHECK_FALSE(common::db::page_is_intact(6, page));
  int missed = 0;
  for (std::size_t bit = 0; bit < page.size() * 8; ++bit) {
    page[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    if (common::db::page_is_intact(5, page))
      ++missed;
    page[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
  }
  CHECK(missed == 0);
  page.fill(std::byte{0});
  CHECK_FALSE(common::db::page_is_intact(0, page));
}

TEST_CASE("no flipped bit of a database file is served (F10)") {
  const TemporaryDirectory directory(test_support::scratch_directory());
  make_database(directory, 200, false);
  const std::size_t bits = read_file(directory.db()).size() * 8;
  REQUIRE(bits > 8 * common::db::kPageSize * 8);
  std::mt19937_64 random(3);
  int flips = 0;
  int detected = 0;
  const auto try_flip = [&](std::size_t bit) {
    ++flips;
    flip_bit(directory.db(), bit);
    {
      auto db = open_db(directory);
      if (!db) {
        detected += db.error().code == ErrorCode::Corrupt ? 1 : 0;
      } else {
        detected += test_support::failed_with((*db)->check(Database::CheckDepth::Quick),
                                              ErrorCode::Corrupt) &&
                            test_support::failed_with((*db)->health(), ErrorCode::Corrupt)
                        ? 1
                        : 0;
      }
    }
    flip_bit(directory.db(), bit);
  };
  // The header, which is looked at before it is verified, bit for bit where it matters most; then
  // anywhere.
  for (std::size_t bit = 16 * 8; bit < 24 * 8; ++bit)
    try_flip(bit);
  for (int i = 0; i < 300; ++i)
    try_flip(random() % bits);
  CHECK(detected == flips);
  auto db = open_db(directory);
  REQUIRE_OK(db);
  CHECK(*count(**db) == 200);
}

TEST_CASE("a damaged page poisons the database, and other pages are still read") {
  const TemporaryDirectory directory;
  make_database(directory, 400, false);
  const std::size_t pages = read_file(directory.db()).size() / common::db::kPageSize;
  REQUIRE(pages > 20);
  flip_bit(directory.db(), (pages - 1) * common::db::kPageSize * 8 + 7);
  auto db = *open_db(directory);
  CHECK_OK(get(*db, 0));
  CHECK_FAILS(db->read([](ReadTx& tx) -> Status {
    return tx.query("SELECT sum(length(value)) FROM entry")->run();
  }),
              ErrorCode::Corrupt);
  CHECK_FAILS(put(*db, 10'000, "x"), ErrorCode::Corrupt);
  CHECK_OK(get(*db, 0));
}

TEST_CASE("a database cut short, or without its WAL, mark or main file, is refused (F10)") {
  for (const bool killed : {false, true}) {
    const TemporaryDirectory directory(test_support::scratch_directory());
    make_database(directory, 100, killed);
    const std::string main = read_file(directory.db());
    const std::string wal = read_file(directory.db() + "-wal");
    const std::string mark = read_file(directory.db() + "-mark");
    CAPTURE(killed);
    REQUIRE(wal.empty() != killed);
    const auto restore = [&] {
      write_file(directory.db(), main);
      write_file(directory.db() + "-wal", wal);
      write_file(directory.db() + "-mark", mark);
      std::filesystem::remove(directory.db() + "-shm");
    };
    const auto refuses = [&](const std::string& what) {
      CAPTURE(what);
      const auto db = open_db(directory);
      Status served = db ? (*db)->check(Database::CheckDepth::Full) : Status{};
      if (!db)
        served = tl::unexpected(db.error());
      CHECK_FAILS(served, ErrorCode::Corrupt);
      restore();
    };
    if (!killed) {
      for (const std::size_t size : {main.size() / 2, main.size() - common::db::kPageSize,
                                     main.size() - 100, common::db::kPageSize, std::size_t{100}}) {
        std::filesystem::resize_file(directory.db(), size);
        refuses("cut");
      }
    } else {
      std::filesystem::remove(directory.db() + "-wal");
      refuses("no WAL");
      std::filesystem::resize_file(directory.db() + "-wal", wal.size() / 2);
      refuses("WAL cut");
      flip_bit(directory.db() + "-wal", wal.size() / 2 * 8);
      refuses("WAL flipped");
    }
    std::filesystem::remove(directory.db());
    refuses("no main file");
    std::filesystem::remove(directory.db() + "-mark");
    refuses("no mark");
    write_file(directory.db() + "-mark", std::string(mark.size(), 'x'));
    refuses("mark damaged");
    CHECK_OK(open_db(directory));
  }
}

TEST_CASE("a recovery tool can take an older database for the truth") {
  const TemporaryDirectory directory(test_support::scratch_directory());
  make_database(directory, 100, true);
  std::filesystem::remove(directory.db() + "-wal");
  CHECK_FAILS(open_db(directory), ErrorCode::Corrupt);
  {
    auto db = open_db(directory, {.accept_lost_commits = true});
    REQUIRE_OK(db);
    CHECK(*count(**db) < 100);
    CHECK_OK(put(**db, 5000, "goes on"));
  }
  CHECK_OK(open_db(directory));
}

TEST_CASE("what is taken for the truth after a loss is checked as after an unclean stop") {
  const TemporaryDirectory directory(test_support::scratch_directory());
  make_database(directory, 400, false);
  const std::size_t pages = read_file(directory.db()).size() / common::db::kPageSize;
  std::filesystem::remove(directory.db() + "-mark");
  {
    // Damage where opening would not come across it.
    flip_bit(directory.db(), (pages - 1) * common::db::kPageSize * 8 + 7);
    const auto db = open_db(directory, {.accept_lost_commits = true});
    CHECK_FAILS(db, ErrorCode::Corrupt);
    flip_bit(directory.db(), (pages - 1) * common::db::kPageSize * 8 + 7);
  }
  auto db = open_db(directory, {.accept_lost_commits = true});
  REQUIRE_OK(db);
  CHECK(*count(**db) == 400);
}
