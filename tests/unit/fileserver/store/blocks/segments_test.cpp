#include "fileserver/store/blocks/segments.hpp"

#include <cerrno>

#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

using namespace block_test;

namespace {

constexpr SegmentOptions kSmall{.segment_bytes = 300 * 1024};

std::unique_ptr<Segments> open_segments(common::io::FileIo& io, SegmentOptions options = kSmall) {
  static common::ManualClock clock;
  auto segments = Segments::open(io, "segments", options, clock);
  REQUIRE_OK(segments);
  return *std::move(segments);
}

}  // namespace

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
  CHECK(append_all(*segments, {noise(10, 5)}).front().segment == 2);
}
