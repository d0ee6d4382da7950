#pragma once

#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

namespace block_test {

// Two full blocks and some small ones.
inline const SegmentOptions kSmallSegments{.segment_bytes = 300 * 1024};

inline common::Result<std::unique_ptr<Segments>> try_open(common::io::FileIo& io,
                                                          SegmentOptions options = kSmallSegments) {
  static common::ManualClock clock;
  return Segments::open(io, "segments", options, clock);
}

inline std::unique_ptr<Segments> open_segments(common::io::FileIo& io,
                                               SegmentOptions options = kSmallSegments) {
  auto segments = try_open(io, options);
  REQUIRE_OK(segments);
  return *std::move(segments);
}

struct Scanned {
  ScanResult result;
  std::vector<ScannedRecord> records;
};

inline Scanned scan(Segments& segments, std::uint32_t segment, bool verify = true) {
  Scanned scanned;
  const auto result = segments.scan(segment, verify, [&](const ScannedRecord& record) -> Status {
    scanned.records.push_back(record);
    return {};
  });
  REQUIRE_OK(result);
  scanned.result = *result;
  CHECK(scanned.result.records == scanned.records.size());
  return scanned;
}

inline std::string path_of(std::uint32_t segment) {
  return "segments/" + segment_file_name(segment);
}

// A whole segment file, and a directory with such a file in it.
inline Bytes file_bytes(common::io::FileIo& io, std::uint32_t segment) {
  const auto file = io.open(path_of(segment), common::io::OpenMode::Read);
  REQUIRE_OK(file);
  Bytes bytes(*(*file)->size());
  REQUIRE_OK((*file)->read_exactly(0, bytes));
  return bytes;
}
inline void put_file(common::io::FileIo& io, std::uint32_t segment, ByteView bytes) {
  static_cast<void>(io.make_directory("segments"));
  const auto file = io.open(path_of(segment), common::io::OpenMode::ReadWriteCreate);
  REQUIRE_OK(file);
  REQUIRE_OK((*file)->truncate(0));
  REQUIRE_OK((*file)->write_at(0, bytes));
}

}  // namespace block_test
