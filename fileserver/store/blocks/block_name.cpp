#include "fileserver/store/blocks/block_name.hpp"

#include "common/crypto/hash.hpp"

namespace fileserver::store {

namespace {

constexpr std::string_view kBlockDomain = "troth block 1";
constexpr std::string_view kContentDomain = "troth content 1";

template <std::size_t N>
void put_integer(std::array<std::byte, N>& out, std::uint64_t value) {
  for (std::size_t i = 0; i < N; ++i)
    out[i] = static_cast<std::byte>(value >> (8 * (N - 1 - i)));
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
  const std::array<std::byte, 1> kind_byte{static_cast<std::byte>(kind)};
  std::array<std::byte, 4> length{};
  put_integer(length, bytes.size());
  const std::array<ByteView, 3> pieces{kind_byte, length, bytes};
  return hash(kBlockDomain, pieces);
}

Result<BlockName> content_name(const Content& content) {
  if (content.tail.empty())
    return content.root;
  std::array<std::byte, 8> size{};
  put_integer(size, content.size);
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
