// A segment file as somebody may have made it who can write the disk. The first byte says how the
// rest is prepared: bit 0 corrects the checksums of what looks like records, so that the checks
// behind them are reached; bit 1 opens it as a sealed volume does.

#include <algorithm>
#include <cstdint>

#include "common/io/memory_file_io.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/crc32c.hpp"
#include "fileserver/store/blocks/segment_scan.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace fileserver::store;

constexpr std::uint32_t kSegment = 1;

void put32(std::span<std::byte> out, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i)
    out[i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

void correct_checksums(Bytes& file) {
  for (std::size_t at = 64; at + 64 <= file.size(); at += 64) {
    const std::span<std::byte> record = std::span(file).subspan(at);
    const auto header = decode_record_header(std::span<const std::byte>(record).first<64>());
    if (!header || 64 + header->stored_length > record.size())
      continue;
    const std::uint32_t start = crc32c(0, record.first(28));
    put32(record.subspan(28), crc32c(start, record.subspan(32, 32 + header->stored_length)));
  }
}

}  // namespace

FUZZ_TARGET(segment) {
  if (size == 0 || size > (1 << 19))
    return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  Bytes bytes(input.begin() + 1, input.end());
  if ((data[0] & 1) != 0)
    correct_checksums(bytes);
  static const auto key = common::crypto::Secret::copy_of(Bytes(32, std::byte{7}));
  const common::crypto::Secret* const sealed = (data[0] & 2) != 0 ? &key : nullptr;
  if (bytes.size() >= 64)
    static_cast<void>(decode_segment_header(std::span<const std::byte>(bytes).first<64>()));

  common::io::MemoryFileIo io;
  const auto file = io.open("segment", common::io::OpenMode::CreateNew);
  fuzz::require(file.has_value() && (*file)->write_at(0, bytes).has_value(), "memory works");
  std::uint64_t verified = 0;
  std::uint64_t last_end = 64;
  Bytes block(kBlockBytes);
  const auto visit = [&](const ScannedRecord& record) -> Status {
    const Placement& place = record.placement;
    fuzz::require(place.offset >= last_end && place.segment == kSegment, "records do not overlap");
    last_end = place.offset + record_size(place.length, false);
    fuzz::require(last_end <= bytes.size(), "a record is whole");
    const auto length =
        decode_record(ByteView(bytes).subspan(place.offset, record_size(place.length, false)),
                      kSegment, place.offset, sealed, block);
    fuzz::require(length && *length == record.header.raw_length && *length <= kBlockBytes,
                  "what a scan has verified decodes");
    const auto name = name_block(record.header.kind, ByteView(block).first(*length));
    fuzz::require(name && *name == record.header.name, "a block is what its name says");
    ++verified;
    return {};
  };
  const auto scanned = scan_records(**file, kSegment, bytes.size(), sealed, true, visit);
  fuzz::require(scanned && scanned->records == verified, "a scan counts what it visits");
  fuzz::require(scanned->end <= bytes.size() && scanned->skipped <= scanned->end,
                "a scan stays inside");
  const auto all = scan_records(**file, kSegment, bytes.size(), sealed, false,
                                [](const ScannedRecord&) { return Status(); });
  fuzz::require(all.has_value(), "damage does not fail a scan");
  return 0;
}
