#include "fileserver/store/blocks/block_name.hpp"

#include <algorithm>

#include "common/crypto/hash_many.hpp"

namespace fileserver::store {

namespace {

constexpr std::string_view kBlockDomain = "troth block 1";
constexpr std::string_view kContentDomain = "troth content 1";

template <std::size_t N>
void put_integer(std::span<std::byte, N> out, std::uint64_t value) {
  for (std::size_t i = 0; i < N; ++i)
    out[i] = static_cast<std::byte>(value >> (8 * (N - 1 - i)));
}

// What comes before a block's bytes in what is hashed: domain, kind, length.
using BlockHead = std::array<std::byte, kBlockDomain.size() + 1 + 4>;

BlockHead head_of(BlockKind kind, std::size_t length) {
  BlockHead head;
  std::ranges::copy(common::as_bytes(kBlockDomain), head.begin());
  head[kBlockDomain.size()] = static_cast<std::byte>(kind);
  put_integer(std::span(head).last<4>(), length);
  return head;
}

// A context of one's own for each thread: making one costs as much as hashing a small block.
Result<common::crypto::Sha256*> hasher() {
  thread_local std::optional<common::crypto::Sha256> context;
  if (!context) {
    TROTH_TRY(auto made, common::crypto::Sha256::create());
    context.emplace(std::move(made));
  }
  return &*context;
}

Result<BlockName> hash(std::string_view domain, std::span<const ByteView> pieces) {
  TROTH_TRY(auto* sha, hasher());
  TROTH_TRY_VOID(sha->update(common::as_bytes(domain)));
  for (const ByteView piece : pieces)
    TROTH_TRY_VOID(sha->update(piece));
  TROTH_TRY(const auto digest, sha->finish());
  return BlockName{digest};
}

}  // namespace

Result<BlockName> name_block(BlockKind kind, ByteView bytes) {
  BlockName name;
  TROTH_TRY_VOID(name_blocks(kind, std::span(&bytes, 1), std::span(&name, 1)));
  return name;
}

Status name_blocks(BlockKind kind, std::span<const ByteView> blocks, std::span<BlockName> names) {
  constexpr std::size_t kAtOnce = 16;
  std::array<BlockHead, kAtOnce> heads;
  std::array<common::crypto::Message, kAtOnce> messages;
  std::array<common::crypto::Digest, kAtOnce> digests;
  for (std::size_t begin = 0; begin < blocks.size(); begin += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, blocks.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      heads[i] = head_of(kind, blocks[begin + i].size());
      messages[i] = {heads[i], blocks[begin + i]};
    }
    TROTH_TRY_VOID(common::crypto::sha256_many(std::span(messages).first(count),
                                               std::span(digests).first(count)));
    for (std::size_t i = 0; i < count; ++i)
      names[begin + i].bytes = digests[i];
  }
  return {};
}

Result<BlockName> content_name(const Content& content) {
  if (content.tail.empty())
    return content.root;
  std::array<std::byte, 8> size{};
  put_integer(std::span(size), content.size);
  const std::array<ByteView, 3> pieces{size, content.root.view(), content.tail};
  return hash(kContentDomain, pieces);
}

ByteView without_trailing_zeros(ByteView bytes) {
  std::size_t length = bytes.size();
  // Words first: blocks that are all zero are common in images of disks.
  while (length >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + length - sizeof word, sizeof word);
    if (word != 0)
      break;
    length -= sizeof word;
  }
  while (length > 0 && bytes[length - 1] == std::byte{0})
    --length;
  return bytes.first(length);
}

}  // namespace fileserver::store
