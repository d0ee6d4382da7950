#include "fileserver/store/blocks/segments.hpp"

#include <thread>

#include "common/io/posix_file_io.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/fileserver/store/blocks/segments_fixture.hpp"

using namespace block_test;
using common::crypto::Secret;

TEST_CASE("segments give back what was appended, before and after a sync and a power cut") {
  MemoryFileIo io;
  const std::vector<Bytes> blocks{noise(100, 1), noise(5000, 2), noise(kBlockBytes, 3)};
  std::vector<Placement> places;
  {
    const auto segments = open_segments(io);
    places = append_all(*segments, blocks);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      CHECK(*read_block(*segments, name_of(blocks[i]), places[i]) == blocks[i]);
    CHECK_OK(segments->sync());
    append_all(*segments, {noise(10, 4)});
  }
  io.crash();
  const auto segments = open_segments(io);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    CHECK(*read_block(*segments, name_of(blocks[i]), places[i]) == blocks[i]);
  // Never behind what a former life left.
  CHECK(append_all(*segments, {noise(10, 5)}).front().segment == 2);
}

TEST_CASE("nothing is made before the first append") {
  MemoryFileIo io;
  {
    const auto segments = open_segments(io);
    CHECK(segments->list().empty());
    CHECK(segments->newest() == 0);
    CHECK_OK(segments->sync());
    CHECK(segments->append({})->empty());
  }
  CHECK(io.list("segments")->empty());
  io.crash();
  CHECK(io.list("segments")->empty());  // the directory itself is durable
}

TEST_CASE("blocks of one call lie next to each other, and full segments are closed") {
  MemoryFileIo io;
  const auto segments = open_segments(io);
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 7; ++i)
    blocks.push_back(noise(kBlockBytes, i));
  const auto places = append_all(*segments, blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    CHECK(places[i].segment == i / 2 + 1);
    CHECK(places[i].offset == 64 + i % 2 * (64 + kBlockBytes));
    CHECK(*read_block(*segments, name_of(blocks[i]), places[i]) == blocks[i]);
  }
  const auto list = segments->list();
  REQUIRE(list.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(list[i].number == i + 1);
    CHECK(list[i].closed == (i < 3));
    CHECK(list[i].bytes == 64 + (i < 3 ? 2 : 1) * (64 + kBlockBytes));
    CHECK(list[i].header_ok);
    CHECK(scan(*segments, list[i].number).result.skipped == 0);
  }
  CHECK(segments->newest() == 4);
}

TEST_CASE("a closed segment is followed by another") {
  MemoryFileIo io;
  const auto segments = open_segments(io);
  CHECK(append_all(*segments, {noise(10, 1)}).front().segment == 1);
  CHECK_OK(segments->close_active());
  CHECK_OK(segments->close_active());
  CHECK(segments->list().front().closed);
  CHECK(append_all(*segments, {noise(10, 1)}).front().segment == 2);
}

TEST_CASE("a read refuses what is not the block it was asked for") {
  MemoryFileIo io;
  const auto segments = open_segments(io);
  const std::vector<Bytes> blocks{noise(100, 1), noise(100, 2)};
  const auto places = append_all(*segments, blocks);
  const auto read = [&](const Bytes& block, Placement place, BlockKind kind = BlockKind::Data) {
    return read_block(*segments, name_of(block), place, kind);
  };
  CHECK_OK(read(blocks[0], places[0]));
  CHECK_FAILS(read(blocks[0], places[1]), ErrorCode::Corrupt);
  CHECK_FAILS(read(blocks[0], places[0], BlockKind::List), ErrorCode::InvalidArgument);
  const auto at = [&](std::uint32_t segment, std::uint32_t offset, std::uint32_t length) {
    return read(blocks[0], {segment, offset, length});
  };
  CHECK_FAILS(at(2, 64, 100), ErrorCode::NotFound);
  CHECK_FAILS(at(0, 64, 100), ErrorCode::NotFound);
  CHECK_FAILS(at(1, 0, 100), ErrorCode::Corrupt);
  CHECK_FAILS(at(1, 65, 100), ErrorCode::Corrupt);
  CHECK_FAILS(at(1, 64, 99), ErrorCode::Corrupt);
  CHECK_FAILS(at(1, 64, 101), ErrorCode::Corrupt);
  CHECK_FAILS(at(1, 64, 0xffffffff), ErrorCode::Corrupt);
  CHECK_FAILS(at(1, 0xffffffc0, 100), ErrorCode::Corrupt);
  Bytes small(99);
  CHECK_FAILS(segments->read(name_of(blocks[0]), BlockKind::Data, places[0], small),
              ErrorCode::InvalidArgument);
}

TEST_CASE("F14: records that changed places are not served") {
  MemoryFileIo io;
  const std::vector<Bytes> blocks{noise(100, 1), noise(100, 2)};
  std::vector<Placement> places;
  {
    const auto segments = open_segments(io);
    places = append_all(*segments, blocks);
  }
  Bytes bytes = file_bytes(io, 1);
  std::swap_ranges(bytes.begin() + 64, bytes.begin() + 64 + 192, bytes.begin() + 64 + 192);
  put_file(io, 1, bytes);
  const auto segments = open_segments(io);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK_FAILS(read_block(*segments, name_of(blocks[i]), places[i]), ErrorCode::Corrupt);
    // Nor where the index would say that it is.
    CHECK_FAILS(read_block(*segments, name_of(blocks[i]), places[1 - i]), ErrorCode::Corrupt);
  }
  CHECK(scan(*segments, 1).records.empty());
}

TEST_CASE("a segment of another volume or a newer format is refused, a damaged header is not") {
  MemoryFileIo io;
  const Bytes block = noise(100, 1);
  SegmentOptions mine = kSmallSegments;
  mine.volume.fill(std::byte{1});
  {
    const auto segments = open_segments(io, mine);
    append_all(*segments, {block});
  }
  const Bytes good = file_bytes(io, 1);
  SegmentOptions other = kSmallSegments;
  other.volume.fill(std::byte{2});
  CHECK_FAILS(try_open(io, other), ErrorCode::InvalidArgument);
  for (const std::size_t length : {std::size_t{0}, std::size_t{63}, good.size()}) {
    Bytes damaged(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    if (!damaged.empty())
      damaged[3] ^= std::byte{1};
    put_file(io, 1, damaged);
    const auto segments = open_segments(io, mine);
    REQUIRE(segments->list().size() == 1);
    CHECK_FALSE(segments->list().front().header_ok);
    CHECK(scan(*segments, 1).records.size() == (length == good.size() ? 1 : 0));
    CHECK(append_all(*segments, {block}).front().segment == 2);
    CHECK_OK(io.unlink(path_of(2)));
  }
  // Under the number of another: its records say so.
  REQUIRE_OK(io.unlink(path_of(1)));
  put_file(io, 5, good);
  const auto segments = open_segments(io, mine);
  CHECK_FALSE(segments->list().front().header_ok);
  CHECK(scan(*segments, 5).records.empty());
  CHECK(append_all(*segments, {block}).front().segment == 6);
}

TEST_CASE("a segment of a newer format is refused") {
  MemoryFileIo io;
  std::array<std::byte, 64> header{};
  encode_segment_header({.segment = 1}, header);
  // What a later version would write, checksum and all: bytes 8 to 11 are the format.
  header[11] = std::byte{2};
  const std::uint32_t crc = crc32c(0, ByteView(header).first(60));
  for (std::size_t i = 0; i < 4; ++i)
    header[60 + i] = static_cast<std::byte>(crc >> (24 - 8 * i));
  put_file(io, 1, header);
  CHECK_FAILS(try_open(io), ErrorCode::Unsupported);
}

TEST_CASE("other files in the directory are left alone") {
  MemoryFileIo io;
  REQUIRE_OK(io.make_directory("segments"));
  REQUIRE_OK(io.open("segments/notes.txt", common::io::OpenMode::CreateNew));
  REQUIRE_OK(io.make_directory("segments/00000007.seg"));
  const auto segments = open_segments(io);
  CHECK(segments->list().empty());
  CHECK(io.list("segments")->size() == 2);
}

TEST_CASE("segments too small for a full block are refused") {
  MemoryFileIo io;
  CHECK_FAILS(try_open(io, {.segment_bytes = kBlockBytes}), ErrorCode::InvalidArgument);
}

TEST_CASE("removing: closed ones only, never the newest, and reads under way end well") {
  MemoryFileIo memory;
  FaultyFileIo io(memory);
  const auto segments = open_segments(io);
  const Bytes block = noise(100, 1);
  const Placement place = append_all(*segments, {block}).front();
  CHECK_FAILS(segments->remove(1), ErrorCode::Busy);
  CHECK_OK(segments->close_active());
  CHECK_FAILS(segments->remove(1), ErrorCode::Busy);  // the newest
  append_all(*segments, {block});
  CHECK_FAILS(segments->remove(3), ErrorCode::NotFound);
  Status removed;
  io.add({.operation = Operation::Read, .before = [&] { removed = segments->remove(1); }});
  CHECK(*read_block(*segments, name_of(block), place) == block);
  CHECK_OK(removed);
  CHECK_FAILS(read_block(*segments, name_of(block), place), ErrorCode::NotFound);
  CHECK_FAILS(segments->remove(1), ErrorCode::NotFound);
  CHECK_FAILS(segments->scan(1, true, [](const ScannedRecord&) { return Status(); }),
              ErrorCode::NotFound);
  CHECK_OK(segments->sync());
  memory.crash();
  CHECK(memory.list("segments")->size() == 1);
}

TEST_CASE("a sealed volume's segments hold none of its bytes, each with a key of its own") {
  MemoryFileIo io;
  const Secret key = Secret::copy_of(Bytes(32, std::byte{7}));
  const Secret wrong = Secret::copy_of(Bytes(32, std::byte{8}));
  SegmentOptions options = kSmallSegments;
  options.key = &key;
  const Bytes block = text(1000);
  Placement place;
  {
    const auto segments = open_segments(io, options);
    place = append_all(*segments, {block}).front();
    CHECK(place.length == 1000 + 28);
    CHECK(*read_block(*segments, name_of(block), place) == block);
    REQUIRE_OK(segments->close_active());
    append_all(*segments, {block});
  }
  const Bytes first = file_bytes(io, 1);
  CHECK(common::as_text(first).find(common::as_text(ByteView(block).first(16))) ==
        std::string_view::npos);
  {
    const auto segments = open_segments(io, options);
    CHECK(*read_block(*segments, name_of(block), place) == block);
    CHECK(scan(*segments, 1).records.size() == 1);
    CHECK(scan(*segments, 2).records.size() == 1);
  }
  {
    // Whatever opens a segment first, its key is there.
    const auto segments = open_segments(io, options);
    REQUIRE_OK(segments->settle_former(1));
    CHECK(*read_block(*segments, name_of(block), place) == block);
    CHECK(*segments->cut_tail(2) == 0);
    CHECK(scan(*segments, 2).records.size() == 1);
    CHECK_OK(segments->sync());
  }
  options.key = &wrong;
  const auto segments = open_segments(io, options);
  CHECK_FAILS(read_block(*segments, name_of(block), place), ErrorCode::Corrupt);
  CHECK(scan(*segments, 1, false).records.size() == 1);  // whole, as far as one can see
  CHECK(scan(*segments, 1, true).records.empty());
}

TEST_CASE("threads append, read and sync at once") {
  MemoryFileIo io;
  const auto segments = open_segments(io);
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kRounds = 40;
  std::vector<std::vector<std::pair<Bytes, Placement>>> written(kThreads);
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < kRounds; ++i) {
        const Bytes bytes = noise(100 + i * 977 % 30'000, t * 1000 + i);
        const std::array blocks{*prepare_block(BlockKind::Data, bytes, false)};
        const auto places = segments->append(blocks);
        if (!places || *read_block(*segments, blocks[0].name, places->front()) != bytes) {
          ++failures;
          return;
        }
        written[t].emplace_back(bytes, places->front());
        if (i % 16 == t && !segments->sync())
          ++failures;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(failures == 0);
  REQUIRE_OK(segments->sync());
  io.crash();
  const auto again = open_segments(io);
  std::size_t records = 0;
  for (const auto& info : again->list()) {
    const Scanned scanned = scan(*again, info.number);
    CHECK(scanned.result.skipped == 0);
    CHECK(scanned.result.end == info.bytes);
    records += scanned.records.size();
  }
  CHECK(records == kThreads * kRounds);
  for (const auto& thread : written) {
    for (const auto& [bytes, place] : thread)
      CHECK(*read_block(*again, name_of(bytes), place) == bytes);
  }
}

TEST_CASE("handles of closed segments are kept within a limit") {
  const test_support::TempDir directory;
  const auto io = common::io::PosixFileIo::open_root(directory.path());
  REQUIRE_OK(io);
  const auto segments = open_segments(**io);
  std::vector<Placement> places;
  const std::size_t before = test_support::entries_of("/proc/self/fd");
  constexpr std::size_t kSegments = 350;
  for (std::size_t i = 0; i < kSegments; ++i) {
    places.push_back(append_all(*segments, {noise(20, i)}).front());
    REQUIRE_OK(segments->close_active());
    if (i % 100 == 0)
      REQUIRE_OK(segments->sync());
  }
  REQUIRE_OK(segments->sync());
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < kSegments; ++i)
      CHECK_OK(read_block(*segments, name_of(noise(20, i)), places[i]));
  }
  CHECK(test_support::entries_of("/proc/self/fd") < before + 270);
}

TEST_CASE("room reserved ahead is given back, and shows in nothing that is read") {
  const test_support::TempDir directory;
  const auto io = common::io::PosixFileIo::open_root(directory.path());
  REQUIRE_OK(io);
  const auto blocks_of = [&](std::uint32_t segment) {
    struct stat info {};
    REQUIRE(::stat((directory / path_of(segment)).c_str(), &info) == 0);
    return info.st_blocks;
  };
  {
    const auto segments = open_segments(**io, {});
    append_all(*segments, {noise(100, 1)});
    CHECK(file_bytes(**io, 1).size() == 256);
    CHECK_OK(segments->close_active());
    CHECK(blocks_of(1) <= 64);
    CHECK(file_bytes(**io, 1).size() == 256);
    append_all(*segments, {noise(100, 1)});
    REQUIRE_OK(segments->sync());
  }
  CHECK(blocks_of(2) <= 64);
  // As after kill -9, when nobody gave it back.
  REQUIRE_OK((*(*io)->open(path_of(2), common::io::OpenMode::ReadWrite))->allocate(8 << 20));
  const auto segments = open_segments(**io, {});
  CHECK(*segments->cut_tail(2) == 0);
  CHECK(blocks_of(2) <= 64);
  CHECK(scan(*segments, 2).records.size() == 1);
}
