// What segments do when the disk is full, fails, forgets or lies.

#include <cerrno>
#include <random>
#include <thread>

#include "common/sim/disk.hpp"
#include "common/sim/file_io.hpp"
#include "common/sync/event.hpp"
#include "fileserver/store/blocks/segments.hpp"
#include "tests/support/patience.hpp"
#include "tests/unit/fileserver/store/blocks/segments_fixture.hpp"

using namespace block_test;

namespace {

// Three small records at the end of a segment, and the file's bytes.
struct SmallSegment {
  std::vector<Bytes> blocks{noise(200, 1), noise(64, 2), noise(100, 3), noise(1, 4)};
  std::vector<Placement> places;
  Bytes bytes;

  SmallSegment() {
    MemoryFileIo io;
    const auto segments = open_segments(io);
    places = append_all(*segments, blocks);
    bytes = file_bytes(io, 1);
  }
  [[nodiscard]] std::size_t end_of(std::size_t i) const {
    return places[i].offset + record_size(places[i].length, false);
  }
};

}  // namespace

TEST_CASE("F4: a tail torn at any byte is cut after the last whole record, once") {
  const SmallSegment small;
  enum class Tear { Cut, Zeros, Junk };
  for (const Tear tear : {Tear::Cut, Tear::Zeros, Tear::Junk}) {
    for (std::size_t at = 0; at < small.bytes.size(); ++at) {
      CAPTURE(at);
      Bytes torn = small.bytes;
      for (std::size_t i = at; i < torn.size(); ++i)
        torn[i] = tear == Tear::Zeros ? std::byte{0} : ~torn[i];
      if (tear == Tear::Cut)
        torn.resize(at);
      MemoryFileIo io;
      put_file(io, 1, torn);
      const auto segments = open_segments(io);
      std::size_t whole = 0;
      while (whole < small.blocks.size() && small.end_of(whole) <= at)
        ++whole;
      // Where the lost end was zeros anyway, nothing is lost.
      while (tear == Tear::Zeros && whole < small.blocks.size() &&
             std::equal(torn.begin(),
                        torn.begin() + static_cast<std::ptrdiff_t>(small.end_of(whole)),
                        small.bytes.begin()))
        ++whole;
      const Scanned scanned = scan(*segments, 1);
      CHECK(scanned.records.size() == whole);
      const std::size_t end =
          whole > 0 ? small.end_of(whole - 1) : std::min<std::size_t>(64, torn.size());
      CHECK(scanned.result.end == end);
      CHECK(*segments->cut_tail(1) == torn.size() - end);
      CHECK(*segments->cut_tail(1) == 0);
      CHECK(file_bytes(io, 1).size() == end);
      for (std::size_t i = 0; i < small.blocks.size(); ++i) {
        const auto read = read_block(*segments, name_of(small.blocks[i]), small.places[i]);
        CHECK(read.has_value() == (i < whole));
        if (!read)
          CHECK(read.error().code == ErrorCode::Corrupt);
      }
      CHECK(append_all(*segments, {noise(5, 5)}).front().segment == 2);
    }
  }
}

TEST_CASE("a scan goes on behind what is no record") {
  const SmallSegment small;
  for (std::size_t lost = 0; lost < small.blocks.size(); ++lost) {
    MemoryFileIo io;
    Bytes bytes = small.bytes;
    std::fill(bytes.begin() + small.places[lost].offset,
              bytes.begin() + static_cast<std::ptrdiff_t>(small.end_of(lost)), std::byte{0});
    put_file(io, 1, bytes);
    const auto segments = open_segments(io);
    const Scanned scanned = scan(*segments, 1);
    CHECK(scanned.records.size() == small.blocks.size() - 1);
    const bool last = lost + 1 == small.blocks.size();
    CHECK(scanned.result.skipped == (last ? 0 : small.end_of(lost) - small.places[lost].offset));
    for (std::size_t i = 0; i < small.blocks.size(); ++i)
      CHECK(read_block(*segments, name_of(small.blocks[i]), small.places[i]).has_value() ==
            (i != lost));
  }
}

TEST_CASE("F13: every flipped byte of a segment is noticed, and none is served") {
  const SmallSegment small;
  for (std::size_t at = 0; at < small.bytes.size(); ++at) {
    CAPTURE(at);
    MemoryFileIo io;
    Bytes bytes = small.bytes;
    bytes[at] ^= std::byte{0x10};
    put_file(io, 1, bytes);
    const auto segments = open_segments(io);
    std::size_t served = 0;
    for (std::size_t i = 0; i < small.blocks.size(); ++i) {
      const auto read = read_block(*segments, name_of(small.blocks[i]), small.places[i]);
      if (read)
        CHECK(*read == small.blocks[i]);
      served += read ? 1 : 0;
    }
    const Scanned scanned = scan(*segments, 1);
    CHECK(scanned.records.size() == served);
    CHECK(served == small.blocks.size() - (at < 64 ? 0 : 1));
    CHECK(segments->list().front().header_ok == (at >= 64));
  }
}

TEST_CASE("a scan stops at what the visitor says, and at a device that fails") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  put_file(io, 1, SmallSegment().bytes);
  const auto segments = open_segments(io);
  int seen = 0;
  CHECK_FAILS(segments->scan(1, true,
                             [&](const ScannedRecord&) -> Status {
                               ++seen;
                               return common::fail(ErrorCode::Cancelled, "enough");
                             }),
              ErrorCode::Cancelled);
  CHECK(seen == 1);
  io.add({.operation = Operation::Read, .error_number = EIO});
  CHECK_FAILS(segments->scan(1, true, [](const ScannedRecord&) { return Status(); }),
              ErrorCode::IoError);
}

TEST_CASE(
    "F6, I12: a sync that failed once poisons: no more writes, reads go on, opening again heals") {
  for (const Operation failing : {Operation::Sync, Operation::SyncDirectory}) {
    MemoryFileIo memory;
    FaultyFileIo io(memory);
    const Bytes block = noise(100, 1);
    {
      const auto segments = open_segments(io);
      const Placement place = append_all(*segments, {block}).front();
      REQUIRE_OK(segments->close_active());
      append_all(*segments, {noise(100, 2)});
      io.add({.operation = failing, .error_number = EIO});
      CHECK_FAILS(segments->sync(), ErrorCode::IoError);
      const std::uint64_t writes = io.calls(Operation::Write);
      const std::uint64_t truncates = io.calls(Operation::Truncate);
      CHECK_FAILS(segments->sync(), ErrorCode::IoError);  // although the disk would do it now
      CHECK_FAILS(segments->health(), ErrorCode::IoError);
      const Bytes another = noise(5, 3);
      const std::array more{prepared(another)};
      CHECK_FAILS(segments->append(more), ErrorCode::IoError);
      CHECK_FAILS(segments->remove(1), ErrorCode::IoError);
      CHECK_FAILS(segments->cut_tail(1), ErrorCode::IoError);
      CHECK_OK(segments->close_active());
      CHECK(*read_block(*segments, name_of(block), place) == block);
      CHECK(io.calls(Operation::Write) == writes);
      CHECK(io.calls(Operation::Truncate) == truncates);
    }
    const auto segments = open_segments(io);
    CHECK_OK(segments->health());
    append_all(*segments, {block});
    CHECK_OK(segments->sync());
  }
}

// The kernel tells of a failed write once: the second to ask must not hear that all is well.
TEST_CASE("a sync beside one that fails does not succeed") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  append_all(*segments, {noise(100, 1)});
  std::thread second;
  Status outcome;
  common::Event ended;
  io.add({.operation = Operation::Sync, .error_number = EIO, .before = [&] {
            second = std::thread([&] {
              outcome = segments->sync();
              ended.set();
            });
            // The second one's chance to go wrong; what it should do is wait for this one.
            CHECK_FALSE(ended.wait_for(std::chrono::milliseconds(100)));
          }});
  CHECK_FAILS(segments->sync(), ErrorCode::IoError);
  second.join();
  CHECK_FAILS(outcome, ErrorCode::IoError);
}

// After a failed sync the kernel's copy may look right while the disk has nothing.
TEST_CASE("F6: what a former process left is synced, and then judged by what the disk has") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  append_all(*open_segments(io), {noise(100, 1)});
  const auto segments = open_segments(io);
  std::uint64_t syncs_before = 0;
  io.add({.operation = Operation::DropCached,
          .before = [&] { syncs_before = io.calls(Operation::Sync); }});
  CHECK_FAILS(segments->settle_former(2), ErrorCode::NotFound);
  CHECK_OK(segments->health());
  CHECK_OK(segments->settle_former(1));
  CHECK(io.calls(Operation::DropCached) == 1);
  CHECK(syncs_before == 1);
  CHECK_OK(segments->sync());  // the directory, too: whoever made the segment may have been killed
  memory.crash();
  CHECK(scan(*open_segments(memory), 1).records.size() == 1);

  io.add({.operation = Operation::Sync, .error_number = EIO});
  CHECK_FAILS(segments->settle_former(1), ErrorCode::IoError);
  CHECK_FAILS(segments->health(), ErrorCode::IoError);
  CHECK(io.calls(Operation::DropCached) == 1);
}

TEST_CASE("appending and reading do not wait for a sync") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  const Bytes block = noise(100, 1);
  const Placement place = append_all(*segments, {block}).front();
  bool tried = false;
  io.add({.operation = Operation::Sync, .before = [&] {
            tried = true;
            CHECK(*read_block(*segments, name_of(block), place) == block);
            append_all(*segments, {noise(100, 2)});
          }});
  CHECK_OK(segments->sync());
  CHECK(tried);
  // What came during the first sync is the next one's.
  const std::uint64_t syncs = io.calls(Operation::Sync);
  CHECK_OK(segments->sync());
  CHECK(io.calls(Operation::Sync) == syncs + 1);
  CHECK_OK(segments->sync());
  CHECK(io.calls(Operation::Sync) == syncs + 1);
}

TEST_CASE("a segment stays open until its bytes are synced, however many there are") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  constexpr std::size_t kSegments = 300;
  for (std::size_t i = 0; i < kSegments; ++i) {
    append_all(*segments, {noise(20, i)});
    REQUIRE_OK(segments->close_active());
  }
  const std::uint64_t opened = io.calls(Operation::Open);
  CHECK_OK(segments->sync());
  CHECK(io.calls(Operation::Sync) == kSegments);
  CHECK(io.calls(Operation::Open) == opened);
  memory.crash();
  CHECK(open_segments(io)->list().size() == kSegments);
}

TEST_CASE("a sync covers each segment that was written, and the names of new ones") {
  MemoryFileIo io;
  const auto segments = open_segments(io);
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 5; ++i)
    blocks.push_back(noise(kBlockBytes, i));
  const auto places = append_all(*segments, blocks);
  CHECK(places.back().segment == 3);
  CHECK_OK(segments->sync());
  io.crash();
  const auto again = open_segments(io);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    CHECK(*read_block(*again, name_of(blocks[i]), places[i]) == blocks[i]);
}

TEST_CASE(
    "F8: a disk that is full at any byte refuses, loses nothing, and goes on when there is room") {
  const std::vector<Bytes> blocks{noise(100, 1), noise(3000, 2), noise(kBlockBytes, 3),
                                  noise(kBlockBytes, 4), noise(kBlockBytes, 5)};
  for (std::uint64_t space = 0; space < 400'000; space += space < 500 ? 13 : 9973) {
    CAPTURE(space);
    MemoryFileIo memory;
    FaultyFileIo io(memory);
    std::vector<std::pair<Bytes, Placement>> kept;
    const auto segments = open_segments(io);
    io.set_space(space);
    bool refused = false;
    for (const Bytes& bytes : blocks) {
      const std::array one{prepared(bytes)};
      const auto places = segments->append(one);
      if (places)
        kept.emplace_back(bytes, places->front());
      else
        CHECK_FAILS(places, ErrorCode::NoSpace);
      refused |= !places;
    }
    CHECK(refused == (space < 3 * kBlockBytes + 3500));
    io.clear();
    for (const Bytes& bytes : blocks)
      kept.emplace_back(bytes, append_all(*segments, {bytes}).front());
    CHECK_OK(segments->sync());
    memory.crash();
    const auto again = open_segments(memory);
    for (const auto& [bytes, place] : kept)
      CHECK(*read_block(*again, name_of(bytes), place) == bytes);
    for (const auto& info : again->list())
      CHECK(scan(*again, info.number).result.skipped == 0);
  }
}

TEST_CASE("a write that fails gives up its segment, and the next append goes elsewhere") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  const Bytes block = noise(100, 1);
  const Placement first = append_all(*segments, {block}).front();
  io.add({.operation = Operation::Write, .error_number = EIO, .bytes_before_error = 70});
  const Bytes other = noise(100, 2);
  const std::array one{prepared(other)};
  CHECK_FAILS(segments->append(one), ErrorCode::IoError);
  CHECK(file_bytes(memory, 1).size() == 64 + 192);
  CHECK(segments->list().front().closed);
  CHECK(append_all(*segments, {block}).front().segment == 2);
  CHECK(*read_block(*segments, name_of(block), first) == block);
}

TEST_CASE("every call that opening makes may fail, and opening again works") {
  for (const Operation operation :
       {Operation::Open, Operation::Read, Operation::Size, Operation::List,
        Operation::MakeDirectory, Operation::SyncDirectory}) {
    for (std::uint64_t call = 1; call <= 3; ++call) {
      MemoryFileIo memory;
      FaultyFileIo io(memory);
      const SmallSegment small;
      put_file(memory, 1, small.bytes);
      put_file(memory, 2, small.bytes);
      io.add({.operation = operation, .first = call, .error_number = EIO});
      const auto segments = try_open(io);
      if (!segments)
        CHECK(segments.error().code == ErrorCode::IoError);
      if (operation == Operation::Read)  // an unreadable header is damage, which is not in the way
        CHECK_OK(segments);
      io.clear();
      const auto again = open_segments(io);
      CHECK(scan(*again, 1).records.size() == 4);
    }
  }
}

TEST_CASE("F7: a device that fails a read says so, and never short data") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  const Bytes block = noise(100, 1);
  const Placement place = append_all(*segments, {block}).front();
  io.add({.operation = Operation::Read, .error_number = EIO});
  CHECK_FAILS(read_block(*segments, name_of(block), place), ErrorCode::IoError);
  CHECK(*read_block(*segments, name_of(block), place) == block);
}

// Each write since the last sync is kept, lost or torn, names included.
TEST_CASE(
    "F3, F5: after power cuts on a simulated disk, what was synced is there, and no record lies") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    common::sim::SimDisk disk(seed);
    std::vector<std::pair<Bytes, Placement>> stable;
    for (int life = 0; life < 4; ++life) {
      common::sim::SimFileIo io(disk);
      {
        const auto segments = open_segments(io);
        for (const auto& [bytes, place] : stable)
          REQUIRE(*read_block(*segments, name_of(bytes), place) == bytes);
        for (const auto& info : segments->list()) {
          const Scanned before = scan(*segments, info.number);
          REQUIRE_OK(segments->cut_tail(info.number));
          REQUIRE(scan(*segments, info.number).records.size() == before.records.size());
        }
        std::vector<std::pair<Bytes, Placement>> unsynced;
        const int steps = static_cast<int>(random() % 30);
        for (int step = 0; step < steps; ++step) {
          const std::uint64_t choice = random() % 20;
          if (choice == 0) {
            REQUIRE_OK(segments->sync());
            stable.insert(stable.end(), unsynced.begin(), unsynced.end());
            unsynced.clear();
          } else if (choice == 1) {
            REQUIRE_OK(segments->close_active());
          } else {
            const Bytes bytes = noise(1 + random() % (choice == 2 ? kBlockBytes : 900), random());
            unsynced.emplace_back(bytes, append_all(*segments, {bytes}).front());
          }
        }
        disk.power_cut();
      }
    }
  }
}
