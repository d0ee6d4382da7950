// What is left of a volume when its process, its disk or its power fails.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <thread>

#include "common/failpoint/failpoint.hpp"
#include "common/io/faulty_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "fileserver/store/meta/database.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using common::ErrorCode;
using test_support::noise;
using test_support::view;
using test_support::VolumeFixture;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

TEST_CASE_FIXTURE(VolumeFixture,
                  "F3: commits whose blocks a power loss took are rolled back, and no others") {
  options.boot_id = Bytes(1, std::byte{1});
  options.flush_interval = std::chrono::hours(1);
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(200'000, 1)));
  const auto kept = volume->last_seq();
  const auto settled = put(node, noise(200'000, 1));
  REQUIRE_OK(volume->wait_stable(*settled, soon()));
  REQUIRE_OK(put(node, noise(200'000, 2)));
  make(kRootNode, "b");
  die();
  // The power fails: the segment loses what the last write put there.
  const std::string segment = path() + "/segments/00000001.seg";
  const auto bytes = test_support::read_file(segment);
  REQUIRE_OK(bytes);
  std::string damaged = *bytes;
  const std::size_t at = damaged.find(noise(200'000, 2).substr(131'072, 64));
  REQUIRE(at != std::string::npos);
  std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), 512, '\0');
  REQUIRE_OK(test_support::write_file(segment, damaged));

  SUBCASE("under another boot id: rolled back") {
    options.boot_id = Bytes(1, std::byte{2});
    REQUIRE_OK(open());
    CHECK(volume->report().power_lost);
    CHECK(volume->report().rolled_back == 2);
    CHECK(volume->report().rolled_back_to >= kept);
    CHECK(get(node) == noise(200'000, 1));
    CHECK_FAILS(volume->lookup(kRootNode, "b"), ErrorCode::NotFound);
  }
  SUBCASE("under the same boot id it is damage: nothing is forgotten, nothing wrong is served") {
    REQUIRE_OK(open());
    CHECK(volume->report().rolled_back == 0);
    CHECK(volume->report().damaged_blocks == 1);
    REQUIRE_OK(volume->lookup(kRootNode, "b"));
    std::vector<std::byte> buffer(200'000);
    CHECK(!volume->read(node, 0, buffer));
    CHECK(volume->status()->quarantined == 1);
    // Writing the same bytes again heals it.
    REQUIRE_OK(put(node, noise(200'000, 2)));
    CHECK(get(node) == noise(200'000, 2));
    CHECK(volume->status()->quarantined == 0);
  }
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F3, I2: undoing a commit takes no block from an earlier one that shares it") {
  options.boot_id = Bytes(1, std::byte{1});
  options.flush_interval = std::chrono::hours(1);
  options.compress = false;
  create();
  const std::string shared = noise(kBlockBytes, 1);
  const std::string lost = noise(kBlockBytes, 2);
  const auto stored = [&](std::string name, std::string_view bytes, Upload& upload) {
    Create file;
    file.parent = kRootNode;
    file.name = std::move(name);
    const auto content = make_content(volume->blocks(), upload, view(bytes));
    REQUIRE_OK(content);
    file.content = *content;
    return file;
  };
  CommitReply first_done;
  {
    // Both are under way at once, so they share one record.
    Upload first = volume->blocks().begin_upload();
    Upload second = volume->blocks().begin_upload();
    CommitRequest one;
    one.operations = {stored("first", shared, first)};
    one.upload = &first;
    CommitRequest two;
    two.operations = {stored("second", shared + lost, second)};
    two.upload = &second;
    const auto done = volume->commit(one);
    REQUIRE_OK(done);
    first_done = *done;
    SUBCASE("stable") {
      REQUIRE_OK(volume->wait_stable(*done, soon()));
    }
    SUBCASE("committed") {}
    REQUIRE_OK(volume->commit(two));
  }
  die();
  const std::string segment = path() + "/segments/00000001.seg";
  const auto bytes = test_support::read_file(segment);
  REQUIRE_OK(bytes);
  std::string damaged = *bytes;
  const std::size_t at = damaged.find(lost.substr(0, 64));
  REQUIRE(at != std::string::npos);
  damaged[at] ^= 1;
  REQUIRE_OK(test_support::write_file(segment, damaged));
  options.boot_id = Bytes(1, std::byte{2});
  REQUIRE_OK(open());
  CHECK(volume->report().rolled_back == 1);
  CHECK_FAILS(volume->lookup(kRootNode, "second"), ErrorCode::NotFound);
  CHECK(get(first_done.created[0]) == shared);
}

TEST_CASE_FIXTURE(VolumeFixture, "R20: what a rollback undoes takes no stable block with it") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(200'000, 1)));
  REQUIRE_OK(volume->close());
  volume.reset();
  // The only copy is lost, and a later commit brings the bytes again.
  std::filesystem::remove(path() + "/segments/00000001.seg");
  REQUIRE_OK(open());
  const Seq then = volume->last_seq();
  const NodeId other = make(kRootNode, "b");
  REQUIRE_OK(put(other, noise(200'000, 1)));
  CHECK(get(node) == noise(200'000, 1));
  REQUIRE_OK(volume->roll_back(then));
  CHECK_FAILS(volume->attributes(other), ErrorCode::NotFound);
  CHECK(get(node) == noise(200'000, 1));
}

namespace {

// Content number i: small, in a block, or in several.
std::string content_of_file(int i) {
  constexpr std::size_t kSizes[] = {100, 5000, 300'000, 0};
  return noise(kSizes[i % 4], static_cast<std::uint64_t>(i) + 1);
}

Result<CommitReply> store_file(Volume& volume, int i) {
  const OperationKey key{{}, static_cast<std::uint64_t>(i) * 2 + 1};
  CommitRequest request;
  Create create;
  create.parent = kRootNode;
  create.name = "f" + std::to_string(i);
  request.operations = {create};
  request.key = key;
  TROTH_TRY(const CommitReply made, volume.commit(request));
  const std::string text = content_of_file(i);
  Edit edit;
  edit.bytes = view(text);
  Volume::WriteRequest write;
  write.commit.key = OperationKey{{}, key.number + 1};
  write.node = made.created[0];
  write.edits = std::span(&edit, 1);
  write.replace = true;
  return volume.write(write);
}

// In a child: stores files and reports each acknowledged one, until it is killed at the failpoint.
// The number of acknowledged ones.
int store_until_killed(VolumeFixture& fixture, const std::string& failpoint) {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(pipe_ends[0]);
    auto opened = Volume::open(fixture.path(), fixture.options, fixture.clock);
    if (!opened || !common::failpoint::arm(failpoint))
      ::_exit(3);
    for (int i = 0; i < 40; ++i) {
      if (!store_file(**opened, i))
        ::_exit(4);
      const char byte = 1;
      if (::write(pipe_ends[1], &byte, 1) != 1)
        ::_exit(5);
    }
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  int acknowledged = 0;
  char byte = 0;
  while (::read(pipe_ends[0], &byte, 1) == 1)
    ++acknowledged;
  ::close(pipe_ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
  return acknowledged;
}

}  // namespace

TEST_CASE_FIXTURE(VolumeFixture, "F1, G6: kill -9 at any step leaves all that was acknowledged") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("built without failpoints");
  for (const std::string place : {"store.commit.before_commit", "store.commit.before_reply",
                                  "store.sync.before_segments", "store.reserve.before_stable"}) {
    for (int hit = 1; hit <= 12; hit += 3) {
      VolumeFixture fixture;
      fixture.options.reserve_ahead = 8;
      fixture.create();
      REQUIRE_OK(fixture.volume->close());
      fixture.volume.reset();
      const int acknowledged = store_until_killed(fixture, place + "=kill@" + std::to_string(hit));
      REQUIRE_OK(fixture.open());
      CHECK(fixture.volume->report().rolled_back == 0);
      CHECK(fixture.volume->report().damaged_blocks == 0);
      for (int i = 0; i < acknowledged; ++i) {
        const auto found = fixture.volume->lookup(kRootNode, "f" + std::to_string(i));
        REQUIRE_OK(found);
        CHECK(fixture.get(found->attributes.node) == content_of_file(i));
      }
      // The one under way: not there, made, or whole; and going on from there works, once.
      for (int i = 0; i < acknowledged + 3; ++i)
        REQUIRE_OK(store_file(*fixture.volume, i));
      CHECK(fixture.volume->list_names(kRootNode, "", 100)->size() ==
            static_cast<std::size_t>(acknowledged + 3));
      CHECK(fixture.get(fixture.volume->lookup(kRootNode, "f" + std::to_string(acknowledged))
                            ->attributes.node) == content_of_file(acknowledged));
    }
  }
}

TEST_CASE_FIXTURE(
    VolumeFixture,
    "F6, I12: after a failed fsync nothing more is written until it is opened again") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(volume->close());
  volume.reset();
  auto& failing = use_faulty_disk();
  options.flush_interval = std::chrono::hours(1);
  REQUIRE_OK(open());
  failing.add({.operation = common::io::Operation::Sync,
               .path_contains = "segments",
               .error_number = EIO,
               .before = {}});
  const auto done = put(node, noise(200'000));
  REQUIRE_OK(done);
  CHECK_FAILS(volume->wait_stable(*done, soon()), ErrorCode::IoError);
  CHECK(!volume->health());
  CHECK_FAILS(put(node, "more"), ErrorCode::IoError);
  CHECK(!volume->wait_stable(*done, soon()));
  CHECK(get(node) == noise(200'000));
  REQUIRE_OK(open());
  CHECK(get(node) == noise(200'000));
  REQUIRE_OK(put(node, "more"));
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F8: a full disk refuses what grows, keeps the rest, and recovers") {
  std::uint64_t free = std::uint64_t{1} << 40;
  options.room = [&]() -> Result<VolumeOptions::Room> {
    return VolumeOptions::Room{free, std::uint64_t{1} << 40};
  };
  create();
  auto& failing = use_faulty_disk();
  volume.reset();
  REQUIRE_OK(open());
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(100'000)));
  SUBCASE("a segment cannot be written") {
    failing.set_space(10'000);
    CHECK_FAILS(put(node, noise(200'000, 2)), ErrorCode::NoSpace);
    CHECK(get(node) == noise(100'000));
    REQUIRE_OK(put(node, "small"));
    REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
    failing.clear();
    REQUIRE_OK(put(make(kRootNode, "b"), noise(200'000, 2)));
    REQUIRE_OK(volume->health());
  }
  SUBCASE("there is little left: growing stops before the last of it") {
    free = 1 << 20;
    REQUIRE_OK(volume->close());
    REQUIRE_OK(open());
    CHECK_FAILS(commit({Create{kRootNode, "b"}}), ErrorCode::NoSpace);
    CHECK_FAILS(volume->reserve(SessionId{1}, 0, 1000), ErrorCode::NoSpace);
    CHECK(get(node) == noise(100'000));
    REQUIRE_OK(put(node, "less"));
    REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
  }
}

namespace {

// A disk that is full from a write to the database on.
class FullDisk final : public common::db::DiskProbe {
 public:
  void fill_after(std::uint64_t writes) { left_ = static_cast<std::int64_t>(writes); }
  void free() { left_ = INT64_MAX / 2; }
  int on_write(common::db::DiskFile, std::uint64_t, std::span<const std::byte>) override {
    return left_.fetch_sub(1) > 0 ? 0 : ENOSPC;
  }
  int on_sync(common::db::DiskFile) override { return 0; }
  int on_truncate(common::db::DiskFile, std::uint64_t) override { return 0; }

 private:
  std::atomic<std::int64_t> left_{INT64_MAX / 2};
};

}  // namespace

TEST_CASE_FIXTURE(VolumeFixture, "F8: full at every write of the database and of segments") {
  FullDisk full;
  options.probe = &full;
  options.segment_bytes = 512 << 10;
  options.checkpoint_pages = 20;  // so that checkpoints meet the full disk, too
  options.wal_cap_pages = 200;
  create();
  auto& segments = use_faulty_disk();
  REQUIRE_OK(open());
  std::map<NodeId, std::string> acknowledged;
  std::uint64_t seed = 1;
  int refused = 0;
  // A file in the database, one in blocks, and one less.
  const auto work = [&] {
    for (const std::size_t length : {std::size_t{2000}, std::size_t{150'000}}) {
      const std::string text = noise(length, ++seed);
      const auto made = commit({Create{kRootNode, "f" + std::to_string(seed)}});
      if (made)
        acknowledged[made->created[0]] = "";
      const auto done = made ? put(made->created[0], text) : made;
      if (done)
        acknowledged[made->created[0]] = text;
      else
        CHECK(done.error().code == ErrorCode::NoSpace);
      refused += done ? 0 : 1;
    }
    if (acknowledged.size() > 6) {
      const NodeId oldest = acknowledged.begin()->first;
      const auto versions = volume->attributes(oldest);
      REQUIRE_OK(versions);
      const auto entries = volume->list(kRootNode, "", 1000);
      REQUIRE_OK(entries);
      for (const EntryAttributes& entry : *entries) {
        if (entry.attributes.node == oldest && commit({Unlink{kRootNode, entry.name}}))
          acknowledged.erase(oldest);
      }
    }
  };
  const auto check_all = [&] {
    for (const auto& [node, text] : acknowledged)
      CHECK(get(node) == text);
  };
  for (std::uint64_t writes = 0; writes < 40; ++writes) {
    CAPTURE(writes);
    if (writes % 2 == 0)
      full.fill_after(writes / 2);
    else
      segments.set_space(writes * 8000);
    work();
    check_all();
    full.free();
    segments.clear();
    // There is room again: nothing had to be opened anew for that.
    REQUIRE_OK(volume->health());
    const auto done = put(make(kRootNode, "after" + std::to_string(writes)), "after");
    REQUIRE_OK(done);
    REQUIRE_OK(volume->wait_stable(*done, soon()));
  }
  CHECK(refused > 20);
  REQUIRE_OK(open());
  CHECK(volume->report().damaged_blocks == 0);
  check_all();
  volume.reset();  // before its probe
}

TEST_CASE_FIXTURE(VolumeFixture, "F10: a database that lost a part of itself is refused") {
  create();
  for (int i = 0; i < 200; ++i)
    make(kRootNode, "a name of some length " + std::to_string(i));
  SUBCASE("it was cut") {
    REQUIRE_OK(volume->close());
    volume.reset();
    std::filesystem::resize_file(metadata_path(path()), 8192);
    CHECK_FAILS(open(), ErrorCode::Corrupt);
  }
  SUBCASE("a page is damaged") {
    REQUIRE_OK(volume->close());
    volume.reset();
    auto bytes = test_support::read_file(metadata_path(path()));
    REQUIRE_OK(bytes);
    for (std::size_t at = 4096 * 3; at < bytes->size(); at += 4096)
      (*bytes)[at + 100] ^= 1;
    REQUIRE_OK(test_support::write_file(metadata_path(path()), *bytes));
    const Status opened = open();
    const bool refused = !opened;
    const bool found = opened && !volume->list_names(kRootNode, "", 1000);
    CHECK((refused || found));
  }
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F10: a segment that is gone takes its own blocks and nothing else") {
  create();
  const NodeId small = make(kRootNode, "small");
  const NodeId big = make(kRootNode, "big");
  REQUIRE_OK(put(small, "in the database"));
  REQUIRE_OK(put(big, noise(300'000)));
  REQUIRE_OK(volume->close());
  volume.reset();
  std::filesystem::remove(path() + "/segments/00000001.seg");
  REQUIRE_OK(open());
  CHECK(get(small) == "in the database");
  std::vector<std::byte> buffer(300'000);
  CHECK_FAILS(volume->read(big, 0, buffer), ErrorCode::Corrupt);
  CHECK(volume->attributes(big)->size == 300'000);
  REQUIRE_OK(put(big, noise(300'000)));
  CHECK(get(big) == noise(300'000));
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F7: a device that cannot read a block says so, and no other file suffers") {
  options.compress = false;
  create();
  const NodeId good = make(kRootNode, "good");
  const NodeId bad = make(kRootNode, "bad");
  REQUIRE_OK(put(good, noise(200'000, 1)));
  REQUIRE_OK(put(bad, noise(200'000, 2)));
  REQUIRE_OK(volume->close());
  auto& failing = use_faulty_disk();
  Bytes elsewhere;
  options.fetch_elsewhere = [&](const BlockName&, BlockKind) -> Result<Bytes> {
    if (elsewhere.empty())
      return common::fail(ErrorCode::Unavailable, "nobody has it");
    return elsewhere;
  };
  REQUIRE_OK(open());
  failing.add({.operation = common::io::Operation::Read,
               .path_contains = ".seg",
               .times = 4,
               .error_number = EIO,
               .before = {}});
  std::vector<std::byte> buffer(200'000);
  CHECK_FAILS(volume->read(bad, 0, buffer), ErrorCode::IoError);
  failing.clear();
  CHECK(volume->status()->quarantined >= 1);
  // Known to be bad from then on, until a replica gives it or a scrub reads it.
  CHECK(!volume->read(bad, 0, buffer));
  CHECK(get(good) == noise(200'000, 1));
  for (bool done = false; !done;) {
    const auto step = volume->scrub(1 << 20);
    REQUIRE_OK(step);
    done = *step;
  }
  CHECK(volume->status()->quarantined == 0);
  REQUIRE_OK(open());
  CHECK(get(bad) == noise(200'000, 2));
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F14: blocks whose records changed places are noticed, and not served") {
  options.compress = false;
  create();
  const NodeId one = make(kRootNode, "one");
  const NodeId two = make(kRootNode, "two");
  REQUIRE_OK(put(one, noise(kBlockBytes, 1)));
  REQUIRE_OK(put(two, noise(kBlockBytes, 2)));
  REQUIRE_OK(volume->close());
  volume.reset();
  const std::string segment = path() + "/segments/00000001.seg";
  auto bytes = test_support::read_file(segment);
  REQUIRE_OK(bytes);
  constexpr std::ptrdiff_t kRecord = 64 + static_cast<std::ptrdiff_t>(kBlockBytes);
  REQUIRE(bytes->size() == 64 + 2 * kRecord);
  std::swap_ranges(bytes->begin() + 64, bytes->begin() + 64 + kRecord,
                   bytes->begin() + 64 + kRecord);
  REQUIRE_OK(test_support::write_file(segment, *bytes));
  REQUIRE_OK(open());
  std::vector<std::byte> buffer(kBlockBytes);
  CHECK_FAILS(volume->read(one, 0, buffer), ErrorCode::Corrupt);
  CHECK_FAILS(volume->read(two, 0, buffer), ErrorCode::Corrupt);
  CHECK(volume->status()->quarantined == 2);
}

TEST_CASE_FIXTURE(VolumeFixture, "F4: a segment torn at its end is cut, and the cut is told") {
  options.boot_id = Bytes(1, std::byte{1});
  create();
  const NodeId node = make(kRootNode, "a");
  const auto done = put(node, noise(100'000, 1));
  REQUIRE_OK(done);
  REQUIRE_OK(volume->wait_stable(*done, soon()));
  volume.reset();
  const std::string segment = path() + "/segments/00000001.seg";
  const auto bytes = test_support::read_file(segment);
  REQUIRE_OK(bytes);
  REQUIRE_OK(test_support::write_file(segment, *bytes + noise(1000, 2)));
  options.boot_id = Bytes(1, std::byte{2});
  REQUIRE_OK(open());
  CHECK(volume->report().rolled_back == 0);
  CHECK(volume->report().cut_bytes >= 1000);
  CHECK(get(node) == noise(100'000, 1));
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F11: readers that never rest keep nobody from committing, nor the WAL growing") {
  options.checkpoint_pages = 50;
  options.wal_cap_pages = 200;
  options.readers = 2;
  create();
  for (int i = 0; i < 300; ++i)
    make(kRootNode, "name " + std::to_string(i));
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto page = volume->list(kRootNode, "", 1000);
        failed += page && page->size() >= 300 ? 0 : 1;
      }
    });
  }
  int most = 0;
  for (int i = 0; i < 1500; ++i) {
    make(kRootNode, "more " + std::to_string(i));
    if (i % 50 == 0)
      most = std::max(most, volume->status()->database.wal_pages);
  }
  stop = true;
  for (std::thread& reader : readers)
    reader.join();
  CHECK(failed == 0);
  CHECK(most < 8 * 200);
}

TEST_CASE_FIXTURE(VolumeFixture, "F12: one volume, one process") {
  create();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto second = Volume::open(path(), options, clock);
    ::_exit(!second && second.error().code == ErrorCode::Busy ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  make(kRootNode, "a");
  REQUIRE_OK(volume->close());
}

TEST_CASE_FIXTURE(
    VolumeFixture,
    "F13: a scrub finds what is damaged, leaves the rest alone, and forgives what was healed") {
  options.compress = false;
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(1'000'000)));
  const auto scrub_all = [&] {
    for (bool done = false; !done;) {
      const auto step = volume->scrub(100'000);
      REQUIRE_OK(step);
      done = *step;
    }
  };
  scrub_all();
  CHECK(volume->status()->quarantined == 0);
  CHECK(get(node) == noise(1'000'000));
  REQUIRE_OK(volume->close());
  volume.reset();
  const std::string segment = path() + "/segments/00000001.seg";
  const auto good = test_support::read_file(segment);
  REQUIRE_OK(good);
  std::string bad = *good;
  const std::size_t in_data = bad.find(noise(1'000'000).substr(200'000, 32));
  REQUIRE(in_data != std::string::npos);
  bad[in_data] ^= 1;
  bad[bad.size() - 40] ^= 1;  // the list was written last
  REQUIRE_OK(test_support::write_file(segment, bad));
  REQUIRE_OK(open());
  scrub_all();
  CHECK(volume->status()->quarantined == 2);
  std::vector<std::byte> buffer(1'000'000);
  CHECK(!volume->read(node, 0, buffer));
  REQUIRE_OK(volume->close());
  volume.reset();
  REQUIRE_OK(test_support::write_file(segment, *good));
  REQUIRE_OK(open());
  scrub_all();
  CHECK(volume->status()->quarantined == 0);
  REQUIRE_OK(open());
  CHECK(get(node) == noise(1'000'000));
}

TEST_CASE_FIXTURE(VolumeFixture, "F74: a newer schema and a newer format are refused, and kept") {
  create();
  REQUIRE_OK(volume->close());
  volume.reset();
  {
    std::vector<common::db::Migration> newer(volume_migrations().begin(),
                                             volume_migrations().end());
    newer.push_back({"CREATE TABLE from_the_future(x INTEGER)"});
    common::db::Options how;
    how.application_id = kVolumeApplicationId;
    const auto db = common::db::Database::open(metadata_path(path()), how, newer, clock);
    REQUIRE_OK(db);
    REQUIRE_OK((*db)->close());
  }
  CHECK_FAILS(open(), ErrorCode::Unsupported);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "I2: what a killed process left in memory is synced before it counts as stable") {
  use_faulty_disk();
  options.segment_bytes = 1 << 20;
  options.flush_interval = std::chrono::hours(1);
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(volume->sync(soon()));
  // Six segments, none of them synced; then it is killed, for all that the disk can tell.
  REQUIRE_OK(put(node, noise(6'000'000)));
  die();
  use_faulty_disk();
  REQUIRE_OK(open());
  CHECK(get(node) == noise(6'000'000));
  CHECK(faulty->calls(common::io::Operation::Sync) >= 6);
  CHECK(faulty->calls(common::io::Operation::DropCached) >= 6);
  CHECK(faulty->calls(common::io::Operation::SyncDirectory) >= 1);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "F15, F16, I10: space comes back, and nothing that is needed goes with it") {
  options.segment_bytes = 1 << 20;
  options.retention = {std::chrono::seconds{0}, 1};
  options.compress = false;
  create();
  const NodeId kept = make(kRootNode, "kept");
  const NodeId often = make(kRootNode, "often");
  REQUIRE_OK(put(kept, noise(700'000, 1)));
  for (std::uint64_t round = 2; round < 8; ++round)
    REQUIRE_OK(put(often, noise(2'000'000, round)));
  const std::uint64_t before = volume->space()->segments;
  // An upload under way uses again what nobody else needs any more.
  Upload upload = volume->blocks().begin_upload();
  const std::string old = noise(2'000'000, 2);
  const auto content = make_content(volume->blocks(), upload, view(old));
  REQUIRE_OK(content);
  make(kRootNode, "x");
  for (int i = 0; i < 10'000 && *volume->maintain(); ++i) {
  }
  CHECK(volume->status()->collector.rounds >= 1);
  CHECK(volume->space()->segments < before / 2);
  CHECK(get(kept) == noise(700'000, 1));
  CHECK(get(often) == noise(2'000'000, 7));
  CommitRequest request;
  request.upload = &upload;
  request.operations = {SetContent{often, *content, std::nullopt}};
  REQUIRE_OK(volume->commit(request));
  CHECK(get(often) == old);
  REQUIRE_OK(open());
  CHECK(volume->report().damaged_blocks == 0);
  CHECK(get(kept) == noise(700'000, 1));
  CHECK(get(often) == old);
}

TEST_CASE_FIXTURE(VolumeFixture, "many threads change and read one volume at once") {
  create();
  constexpr int kThreads = 8;
  constexpr int kFiles = 40;
  std::atomic<int> failures{0};
  std::vector<NodeId> directories;
  for (int t = 0; t < kThreads; ++t)
    directories.push_back(make(kRootNode, "d" + std::to_string(t), NodeKind::Directory));
  const NodeId log = make(kRootNode, "log");
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const NodeId directory = directories[static_cast<std::size_t>(t)];
      Seq last{};
      for (int i = 0; i < kFiles; ++i) {
        CommitRequest request;
        request.operations = {Create{directory, "f" + std::to_string(i)}};
        const auto made = volume->commit(request);
        if (!made || made->seq <= last || !volume->append({}, log, view("x")) ||
            volume->attributes(made->created[0])->home != directory ||
            (i % 8 == 0 && !volume->wait_stable(*made, soon()))) {
          ++failures;
          return;
        }
        if (i % 8 == 0 && volume->stable_seq() < made->seq)
          ++failures;
        last = made->seq;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(failures == 0);
  CHECK(get(log) == std::string(kThreads * kFiles, 'x'));
  for (const NodeId directory : directories)
    CHECK(volume->list_names(directory, "", 1000)->size() == kFiles);
  CHECK(volume->usage()->nodes == 1 + kThreads + 1 + kThreads * kFiles);
}
