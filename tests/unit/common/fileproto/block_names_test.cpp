#include "common/fileproto/block_names.hpp"

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"
#include "tests/support/test.hpp"

using common::Bytes;
using common::ByteView;
using namespace common::fileproto;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

namespace {

Bytes noise(std::size_t count) {
  Bytes bytes(count);
  unsigned seed = 11;
  for (std::byte& b : bytes)
    b = static_cast<std::byte>((seed = seed * 1'664'525 + 1'013'904'223) >> 24);
  return bytes;
}

// As STORE.md has it.
ContentName named(ByteView block) {
  while (!block.empty() && block.back() == std::byte{0})
    block = block.first(block.size() - 1);
  if (block.empty())
    return {};
  const Bytes all = common::wire::BinaryWriter()
                        .fixed(common::as_bytes("troth block 1"))
                        .u8(1)
                        .u32(static_cast<std::uint32_t>(block.size()))
                        .fixed(block)
                        .take();
  const auto digest = common::crypto::sha256(all);
  REQUIRE_OK(digest);
  return *digest;
}

}  // namespace

TEST_CASE("blocks are named as the store names them, holes and zeros at the end included") {
  Bytes bytes = noise(6 * kContentBlock + 1'000);
  std::fill_n(bytes.begin() + kContentBlock, kContentBlock, std::byte{0});
  std::fill_n(bytes.begin() + 3 * kContentBlock - 77, 77, std::byte{0});
  const auto blocks = parts_of_piece(0, bytes);
  REQUIRE(blocks.size() == 7);
  std::vector<ContentName> names(blocks.size());
  REQUIRE_OK(name_data_blocks(blocks, names));
  for (std::size_t i = 0; i < blocks.size(); ++i)
    CHECK(names[i] == named(blocks[i]));
  CHECK(names[1] == ContentName{});
}

TEST_CASE(
    "a piece is cut where blocks of its staging end, and its hash tells every byte and place") {
  Bytes bytes = noise(3 * kContentBlock);
  const std::uint64_t offset = kContentBlock - 5;
  const auto parts = parts_of_piece(offset, bytes);
  REQUIRE(parts.size() == 4);
  CHECK(parts[0].size() == 5);
  CHECK(parts[1].size() == kContentBlock);
  CHECK(parts[3].size() == kContentBlock - 5);
  const auto hash = hash_of_piece(offset, bytes);
  REQUIRE_OK(hash);
  Bytes all = common::wire::BinaryWriter()
                  .fixed(common::as_bytes("troth piece 1"))
                  .u64(offset)
                  .u64(bytes.size())
                  .take();
  for (const ByteView part : parts) {
    const ContentName name = named(part);
    all.insert(all.end(), name.begin(), name.end());
  }
  CHECK(*hash == common::crypto::sha256(all).value());
  CHECK(*hash != hash_of_piece(offset + 1, bytes).value());
  CHECK(*hash != hash_of_piece(offset, ByteView(bytes).first(bytes.size() - 1)).value());
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{5}, std::size_t{kContentBlock + 5}, bytes.size() - 1}) {
    bytes[at] ^= std::byte{1};
    CHECK(*hash != hash_of_piece(offset, bytes).value());
    bytes[at] ^= std::byte{1};
  }
  // Zeros at the end are no block's, but they are the piece's.
  const Bytes zeros(10);
  CHECK(hash_of_piece(0, zeros).value() != hash_of_piece(0, ByteView(zeros).first(9)).value());
}
