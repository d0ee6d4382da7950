#include "fileserver/store/blocks/segment_record.hpp"

#include <zstd.h>

#include "fileserver/store/blocks/crc32c.hpp"
#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

using namespace block_test;
using common::crypto::Secret;

namespace {

constexpr std::uint32_t kSegment = 3;
constexpr std::uint32_t kOffset = 128;

Bytes record_of(const PreparedBlock& block, const Secret* key = nullptr) {
  Bytes record(record_size(block.payload.size(), key != nullptr), std::byte{0xee});
  REQUIRE_OK(encode_record(block, kSegment, kOffset, key, record));
  return record;
}

common::Result<Bytes> decoded(const Bytes& record, const Secret* key = nullptr,
                              std::uint32_t segment = kSegment, std::uint32_t offset = kOffset) {
  Bytes into(kBlockBytes, std::byte{0xdd});
  TROTH_TRY(const std::size_t length, decode_record(record, segment, offset, key, into));
  into.resize(length);
  return into;
}

Secret key_of(int value) {
  return Secret::copy_of(Bytes(32, static_cast<std::byte>(value)));
}

void put32(Bytes& record, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i)
    record[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

// As somebody would who can write the disk: right checksum, whatever else.
void correct_crc(Bytes& record, std::size_t stored) {
  const ByteView view(record);
  put32(record, 28, crc32c(crc32c(0, view.first(28)), view.subspan(32, 32 + stored)));
}

}  // namespace

TEST_CASE("CRC-32C is what its standard says, with and without the instruction") {
  CHECK(crc32c(0, common::as_bytes("123456789")) == 0xe3069283);
  CHECK(crc32c_portable(0, common::as_bytes("123456789")) == 0xe3069283);
  const Bytes zeros(32);
  CHECK(crc32c(0, zeros) == 0x8a9136aa);
  const Bytes bytes = noise(20'000, 1);
  for (const std::size_t length : {0, 1, 7, 8, 63, 3071, 3072, 3073, 9000, 9216, 20'000}) {
    CAPTURE(length);
    const ByteView whole = ByteView(bytes).first(length);
    CHECK(crc32c(0, whole) == crc32c_portable(0, whole));
    const std::size_t part = length / 3;
    CHECK(crc32c(crc32c(0, whole.first(part)), whole.subspan(part)) == crc32c(0, whole));
    CHECK(crc32c_portable(crc32c(0, whole.first(part)), whole.subspan(part)) == crc32c(0, whole));
  }
}

TEST_CASE("a record gives back its block, raw or compressed, sealed or not") {
  const Secret key = key_of(7);
  for (const Secret* sealed : {static_cast<const Secret*>(nullptr), &key}) {
    for (const bool compress : {false, true}) {
      for (const Bytes& bytes :
           {noise(1, 1), noise(64, 2), noise(kBlockBytes, 3), text(1000), text(kBlockBytes)}) {
        CAPTURE(bytes.size());
        const PreparedBlock block = prepared(bytes, compress);
        CHECK((block.codec == Codec::Zstd) == (compress && bytes == text(bytes.size())));
        const Bytes record = record_of(block, sealed);
        CHECK(record.size() % kRecordAlignment == 0);
        const auto got = decoded(record, sealed);
        REQUIRE_OK(got);
        CHECK(*got == bytes);
      }
    }
  }
}

TEST_CASE("compressed is what gains by it, however it is mixed") {
  Bytes mixed = noise(kBlockBytes, 1);
  const Bytes part = text(kBlockBytes / 4);
  for (std::size_t quarter = 0; quarter < 4; ++quarter) {
    Bytes bytes = mixed;
    std::ranges::copy(part, bytes.begin() + static_cast<std::ptrdiff_t>(quarter * part.size()));
    CHECK(prepared(bytes, true).codec == Codec::Zstd);
  }
  CHECK(prepared(mixed, true).codec == Codec::Raw);
  // Less than an eighth is not worth decompressing for.
  Bytes little = noise(16 * 1024, 1);
  std::ranges::fill(std::span(little).first(1024), std::byte{'a'});
  CHECK(prepared(little, true).codec == Codec::Raw);
  std::ranges::fill(std::span(little).first(4096), std::byte{'a'});
  CHECK(prepared(little, true).codec == Codec::Zstd);
}

TEST_CASE("a record's bytes are where STORE.md says") {
  const Bytes bytes = noise(100, 1);
  const Bytes record = record_of(prepared(bytes));
  CHECK(record.size() == 192);
  CHECK(common::as_text(ByteView(record).first(4)) == "TrBk");
  const Bytes head(record.begin() + 4, record.begin() + 28);
  const auto b = [](int value) { return static_cast<std::byte>(value); };
  CHECK(head == Bytes{b(1), b(1), b(0), b(0), b(0), b(0), b(0), b(100), b(0), b(0), b(0), b(100),
                      b(0), b(0), b(0), b(3), b(0), b(0), b(0), b(2),   b(0), b(0), b(0), b(0)});
  CHECK(std::equal(record.begin() + 32, record.begin() + 64, name_of(bytes).bytes.begin()));
  CHECK(std::equal(bytes.begin(), bytes.end(), record.begin() + 64));
  CHECK(Bytes(record.begin() + 164, record.end()) == Bytes(28));
}

TEST_CASE("only canonical bytes are a block") {
  CHECK_FAILS(prepare_block(BlockKind::Data, {}, true), ErrorCode::InvalidArgument);
  CHECK_FAILS(prepare_block(BlockKind::Data, noise(kBlockBytes + 1, 1), true),
              ErrorCode::InvalidArgument);
  Bytes zero_at_end = noise(100, 1);
  zero_at_end.push_back(std::byte{0});
  CHECK_FAILS(prepare_block(BlockKind::Data, zero_at_end, true), ErrorCode::InvalidArgument);
  CHECK_OK(prepare_block(BlockKind::List, noise(256 * 32, 1), true));
  CHECK_FAILS(prepare_block(BlockKind::List, noise(257 * 32, 1), true), ErrorCode::InvalidArgument);
  CHECK_FAILS(prepare_block(BlockKind::List, noise(33, 1), true), ErrorCode::InvalidArgument);
  Bytes hole_at_end = noise(64, 1);
  std::fill(hole_at_end.begin() + 32, hole_at_end.end(), std::byte{0});
  CHECK_FAILS(prepare_block(BlockKind::List, hole_at_end, true), ErrorCode::InvalidArgument);
  // A name may end in zero; only 32 of them are a hole.
  hole_at_end[32] = std::byte{1};
  CHECK_OK(prepare_block(BlockKind::List, hole_at_end, true));
}

TEST_CASE("F13: no single flipped bit of a record goes unnoticed") {
  const Secret key = key_of(7);
  for (const Secret* sealed : {static_cast<const Secret*>(nullptr), &key}) {
    for (const bool compress : {false, true}) {
      Bytes record = record_of(prepared(text(300), compress), sealed);
      REQUIRE_OK(decoded(record, sealed));
      std::size_t served = 0;
      for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
        record[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        const auto got = decoded(record, sealed);
        served += got.has_value() || got.error().code != ErrorCode::Corrupt ? 1 : 0;
        record[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      }
      CHECK(served == 0);
    }
  }
}

TEST_CASE("a record that ends early is no record, at whatever byte it ends") {
  const Bytes record = record_of(prepared(noise(100, 1)));
  for (std::size_t length = 0; length < 164; ++length) {
    const Bytes cut(record.begin(), record.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK_FAILS(decoded(cut), ErrorCode::Corrupt);
  }
}

TEST_CASE("F14: a whole record at another place is refused") {
  const Bytes record = record_of(prepared(noise(100, 1)));
  CHECK_FAILS(decoded(record, nullptr, kSegment, kOffset + 64), ErrorCode::Corrupt);
  CHECK_FAILS(decoded(record, nullptr, kSegment + 1, kOffset), ErrorCode::Corrupt);
}

TEST_CASE("bytes that are not what the name says are refused, whatever their checksum") {
  Bytes record = record_of(prepared(noise(100, 1)));
  record[70] ^= std::byte{1};
  CHECK_FAILS(decoded(record), ErrorCode::Corrupt);
  correct_crc(record, 100);
  CHECK_FAILS(decoded(record), ErrorCode::Corrupt);
  record[70] ^= std::byte{1};
  correct_crc(record, 100);
  CHECK_OK(decoded(record));
  record[5] = std::byte{2};  // the kind is part of the name: 100 bytes are no list either
  correct_crc(record, 100);
  CHECK_FAILS(decoded(record), ErrorCode::Corrupt);
}

TEST_CASE("hostile header fields are refused before anything is believed") {
  const Bytes good = record_of(prepared(noise(100, 1)));
  const auto refused = [&](std::size_t at, std::uint32_t value) {
    Bytes record = good;
    put32(record, at, value);
    correct_crc(record, 100);
    return test_support::failed_with(decoded(record), ErrorCode::Corrupt);
  };
  CHECK(refused(8, 0));
  CHECK(refused(8, 99));
  CHECK(refused(8, kBlockBytes + 1));
  CHECK(refused(8, 0xffffffff));
  CHECK(refused(12, 0));
  CHECK(refused(12, 101));
  CHECK(refused(12, 0xffffffff));
  CHECK(refused(20, 0xffffffff));
  CHECK(refused(24, 1));
  CHECK(refused(4, 0x02010000));  // a format of tomorrow
  CHECK(refused(4, 0x01030000));  // kind
  CHECK(refused(4, 0x01000000));
  CHECK(refused(4, 0x01010200));  // codec
  CHECK(refused(4, 0x01010002));  // sealed
  Bytes larger = good;            // than any block, once it is decompressed
  put32(larger, 4, 0x01010100);
  put32(larger, 8, kBlockBytes + 1);
  correct_crc(larger, 100);
  CHECK_FAILS(decoded(larger), ErrorCode::Corrupt);
}

TEST_CASE("F53: a payload that decompresses to more or less than it says is refused") {
  const Bytes bomb(1 << 20, std::byte{'x'});
  Bytes frame(ZSTD_compressBound(bomb.size()));
  for (const std::size_t content : {std::size_t{1} << 20, std::size_t{1001}, std::size_t{999}}) {
    frame.resize(ZSTD_compressBound(bomb.size()));
    frame.resize(ZSTD_compress(frame.data(), frame.size(), bomb.data(), content, 1));
    const Bytes claimed(1000, std::byte{'x'});
    const PreparedBlock block{
        .name = name_of(claimed), .codec = Codec::Zstd, .raw_length = 1000, .payload = frame};
    CHECK_FAILS(decoded(record_of(block)), ErrorCode::Corrupt);
  }
  frame.assign(50, std::byte{0x28});
  const PreparedBlock garbage{.codec = Codec::Zstd, .raw_length = 1000, .payload = frame};
  CHECK_FAILS(decoded(record_of(garbage)), ErrorCode::Corrupt);
}

TEST_CASE("a sealed record opens with its key only, and a plain one is none in a sealed volume") {
  const Secret key = key_of(7);
  const Secret other = key_of(8);
  const Bytes bytes = text(500);
  const Bytes sealed = record_of(prepared(bytes), &key);
  CHECK(common::as_text(sealed).find(common::as_text(ByteView(bytes).first(20))) ==
        std::string_view::npos);
  CHECK_OK(decoded(sealed, &key));
  CHECK_FAILS(decoded(sealed, &other), ErrorCode::Corrupt);
  CHECK_FAILS(decoded(sealed, nullptr), ErrorCode::Corrupt);
  CHECK_FAILS(decoded(record_of(prepared(bytes)), &key), ErrorCode::Corrupt);
  // The same block twice gives different bytes.
  CHECK(record_of(prepared(bytes), &key) != sealed);
}

TEST_CASE("a place too small for its block is the caller's mistake, and is left alone") {
  const Bytes record = record_of(prepared(noise(100, 1)));
  Bytes into(99, std::byte{0xdd});
  CHECK_FAILS(decode_record(record, kSegment, kOffset, nullptr, into), ErrorCode::InvalidArgument);
  CHECK(into == Bytes(99, std::byte{0xdd}));
}

TEST_CASE("segment headers") {
  std::array<std::byte, 64> bytes{};
  SegmentHeader header{.segment = 9, .created = 1234567890123};
  header.volume.fill(std::byte{5});
  encode_segment_header(header, bytes);
  const auto decoded_header = decode_segment_header(bytes);
  REQUIRE_OK(decoded_header);
  CHECK(decoded_header->segment == 9);
  CHECK(decoded_header->volume == header.volume);
  CHECK(decoded_header->created == header.created);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    CHECK_FAILS(decode_segment_header(bytes), ErrorCode::Corrupt);
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST_CASE("names of segment files") {
  CHECK(segment_file_name(1) == "00000001.seg");
  CHECK(segment_file_name(0xdeadbeef) == "deadbeef.seg");
  CHECK(segment_of_file_name("00000001.seg") == 1);
  CHECK(segment_of_file_name("deadbeef.seg") == 0xdeadbeef);
  for (const char* name :
       {"", "1.seg", "00000000.seg", "DEADBEEF.seg", "0000000g.seg", "000000010.seg",
        "00000001.sex", "-0000001.seg", "+0000001.seg", "0x000001.seg", " 0000001.seg"})
    CHECK_FALSE(segment_of_file_name(name));
}
