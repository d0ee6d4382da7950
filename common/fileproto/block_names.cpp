#include "common/fileproto/block_names.hpp"

#include <algorithm>
#include <cstring>

#include "common/crypto/hash_many.hpp"
#include "common/wire/binary.hpp"

namespace common::fileproto {

namespace {

constexpr std::string_view kBlockDomain = "troth block 1";
constexpr std::string_view kPieceDomain = "troth piece 1";
constexpr std::uint8_t kData = 1;

ByteView without_zeros(ByteView bytes) {
  std::size_t length = bytes.size();
  // Words first: blocks that are all zero are common in images of disks.
  for (std::uint64_t word = 0; length >= sizeof word; length -= sizeof word) {
    std::memcpy(&word, bytes.data() + length - sizeof word, sizeof word);
    if (word != 0)
      break;
  }
  while (length > 0 && bytes[length - 1] == std::byte{0})
    --length;
  return bytes.first(length);
}

}  // namespace

Status name_data_blocks(std::span<const ByteView> blocks, std::span<ContentName> names) {
  std::vector<Bytes> heads;
  std::vector<crypto::Message> messages;
  std::vector<std::size_t> places;
  heads.reserve(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const ByteView block = without_zeros(blocks[i]);
    names[i] = {};
    if (block.empty())
      continue;
    heads.push_back(wire::BinaryWriter()
                        .fixed(as_bytes(kBlockDomain))
                        .u8(kData)
                        .u32(static_cast<std::uint32_t>(block.size()))
                        .take());
    messages.push_back({heads.back(), block});
    places.push_back(i);
  }
  std::vector<crypto::Digest> digests(messages.size());
  TROTH_TRY_VOID(crypto::sha256_many(messages, digests));
  for (std::size_t i = 0; i < places.size(); ++i)
    names[places[i]] = digests[i];
  return {};
}

std::vector<ByteView> parts_of_piece(std::uint64_t offset, ByteView bytes) {
  std::vector<ByteView> parts;
  parts.reserve(bytes.size() / kContentBlock + 2);
  while (!bytes.empty()) {
    const std::uint64_t length =
        std::min<std::uint64_t>(bytes.size(), kContentBlock - offset % kContentBlock);
    parts.push_back(bytes.first(length));
    bytes = bytes.subspan(length);
    offset += length;
  }
  return parts;
}

Result<ContentName> hash_of_piece(std::uint64_t offset, std::uint64_t length,
                                  std::span<const ContentName> names) {
  wire::BinaryWriter all;
  all.fixed(as_bytes(kPieceDomain)).u64(offset).u64(length);
  for (const ContentName& name : names)
    all.fixed(name);
  return crypto::sha256(all.view());
}

Result<ContentName> hash_of_piece(std::uint64_t offset, ByteView bytes) {
  const std::vector<ByteView> parts = parts_of_piece(offset, bytes);
  std::vector<ContentName> names(parts.size());
  TROTH_TRY_VOID(name_data_blocks(parts, names));
  return hash_of_piece(offset, bytes.size(), names);
}

}  // namespace common::fileproto
