#include "fileserver/store/blocks/segment_record.hpp"

#include "fileserver/store/blocks/crc32c.hpp"
#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

using namespace block_test;

namespace {

Bytes record_of(const PreparedBlock& block, const common::crypto::Secret* key = nullptr) {
  Bytes record(record_size(block.payload.size(), key != nullptr), std::byte{0xee});
  REQUIRE_OK(encode_record(block, 3, 128, key, record));
  return record;
}

}  // namespace

TEST_CASE("CRC-32C is what its standard says, with and without the instruction") {
  CHECK(crc32c(0, common::as_bytes("123456789")) == 0xe3069283);
  CHECK(crc32c_portable(0, common::as_bytes("123456789")) == 0xe3069283);
  const Bytes zeros(32);
  CHECK(crc32c(0, zeros) == 0x8a9136aa);
  const Bytes bytes = noise(20'000, 1);
  for (const std::size_t length : {0, 1, 7, 8, 63, 3071, 3072, 3073, 9000, 9216, 20'000}) {
    const ByteView whole = ByteView(bytes).first(length);
    CHECK(crc32c(0, whole) == crc32c_portable(0, whole));
    const std::size_t half = length / 3;
    CHECK(crc32c(crc32c(0, whole.first(half)), whole.subspan(half)) == crc32c(0, whole));
  }
}

TEST_CASE("a record gives back its block") {
  const common::crypto::Secret key = common::crypto::Secret::copy_of(Bytes(32, std::byte{7}));
  for (const auto* sealed : {static_cast<const common::crypto::Secret*>(nullptr), &key}) {
    for (const bool compress : {false, true}) {
      for (const Bytes& bytes :
           {noise(1, 1), noise(64, 2), noise(kBlockBytes, 3), text(1000), text(kBlockBytes)}) {
        CAPTURE(bytes.size());
        const PreparedBlock block = prepared(bytes, compress);
        CHECK((block.codec == Codec::Zstd) == (compress && bytes == text(bytes.size())));
        const Bytes record = record_of(block, sealed);
        CHECK(record.size() % kRecordAlignment == 0);
        Bytes into(bytes.size());
        const auto length = decode_record(record, 3, 128, sealed, into);
        REQUIRE_OK(length);
        CHECK(*length == bytes.size());
        CHECK(into == bytes);
      }
    }
  }
}
