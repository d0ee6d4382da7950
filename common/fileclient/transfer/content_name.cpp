#include "common/fileclient/transfer/content_name.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace common::fileclient {
namespace {

using fileproto::ContentName;

constexpr std::uint8_t kList = 2;
constexpr std::size_t kFanOut = 256;
constexpr std::uint64_t kMaxSmall = 4 * 1024;         // a file of at most this is tail only
constexpr std::uint64_t kMaxAppendedTail = 2 * 1024;  // of a larger one
constexpr ContentName kHole{};

Result<ContentName> block_name(ByteView block) {
  ContentName name;
  TROTH_TRY_VOID(fileproto::name_data_blocks(std::span(&block, 1), std::span(&name, 1)));
  return name;
}

Result<ContentName> hashed_list(ByteView bytes) {
  TROTH_TRY(auto hash, crypto::Sha256::create());
  TROTH_TRY_VOID(hash.update(as_bytes("troth block 1")));
  const Bytes head =
      wire::BinaryWriter().u8(kList).u32(static_cast<std::uint32_t>(bytes.size())).take();
  TROTH_TRY_VOID(hash.update(head));
  TROTH_TRY_VOID(hash.update(bytes));
  return hash.finish();
}

Result<ContentName> list_name(std::span<const ContentName> names) {
  // Holes at the end are cut off whole: a name may end in a zero byte.
  std::size_t count = names.size();
  while (count > 0 && names[count - 1] == kHole)
    --count;
  if (count == 0)
    return kHole;
  Bytes bytes;
  bytes.reserve(count * sizeof(ContentName));
  for (const ContentName& name : names.first(count))
    bytes.insert(bytes.end(), name.begin(), name.end());
  return hashed_list(bytes);
}

Result<ContentName> with_tail(std::uint64_t size, const ContentName& root, ByteView tail) {
  TROTH_TRY(auto hash, crypto::Sha256::create());
  TROTH_TRY_VOID(hash.update(as_bytes("troth content 1")));
  const Bytes head = wire::BinaryWriter().u64(size).fixed(root).take();
  TROTH_TRY_VOID(hash.update(head));
  TROTH_TRY_VOID(hash.update(tail));
  return hash.finish();
}

// Everything of a tree but its last block: the siblings to its left on the way to the root.
Result<std::vector<std::vector<ContentName>>> left_of_last(std::vector<ContentName> level) {
  std::vector<std::vector<ContentName>> siblings;
  level.pop_back();
  while (!level.empty()) {
    const std::size_t group = level.size() / kFanOut * kFanOut;
    siblings.emplace_back(level.begin() + static_cast<std::ptrdiff_t>(group), level.end());
    std::vector<ContentName> above;
    for (std::size_t i = 0; i < group; i += kFanOut) {
      TROTH_TRY(above.emplace_back(), list_name(std::span(level).subspan(i, kFanOut)));
    }
    level = std::move(above);
  }
  return siblings;
}

Result<ContentName> climb(const std::vector<std::vector<ContentName>>& siblings, ContentName last) {
  for (std::vector<ContentName> list : siblings) {
    list.push_back(last);
    TROTH_TRY(last, list_name(list));
  }
  return last;
}

std::uint64_t blocks_of(std::uint64_t size) {
  return (size + kContentBlock - 1) / kContentBlock;
}

}  // namespace

Status ContentBlocks::add(std::uint64_t offset, ByteView bytes) {
  const std::vector<ByteView> blocks = fileproto::parts_of_piece(offset, bytes);
  const std::uint64_t first = offset / kContentBlock;
  if (first > names_.size() || blocks.size() > names_.size() - first)
    return fail(ErrorCode::Internal, "a block beyond the end of the file");
  return fileproto::name_data_blocks(blocks, std::span(names_).subspan(first, blocks.size()));
}

std::uint64_t ContentBlocks::end_begins() const {
  const std::uint64_t blocks = blocks_of(size_);
  return blocks < 2 ? 0 : (blocks - 2) * kContentBlock;
}

Result<bool> ContentBlocks::is(const ContentName& name, ByteView end) const {
  if (end.size() != size_ - end_begins())
    return fail(ErrorCode::Internal, "not the end of the file");
  if (size_ <= kMaxSmall) {
    TROTH_TRY(const auto small, with_tail(size_, kHole, end));
    return small == name || (size_ == 0 && name == kHole);
  }
  TROTH_TRY(auto siblings, left_of_last(names_));
  TROTH_TRY(const auto whole, climb(siblings, names_.back()));
  if (whole == name)
    return true;
  // Small appends may be kept apart (STORE.md: tail); how many bytes that are nobody says, so each
  // length is tried.
  std::size_t known = names_.size();
  for (std::uint64_t tail = 1; tail <= kMaxAppendedTail; ++tail) {
    const std::uint64_t tree = size_ - tail;
    const std::size_t blocks = blocks_of(tree);
    if (blocks != known) {
      TROTH_TRY(siblings, left_of_last({names_.begin(),
                                        names_.begin() + static_cast<std::ptrdiff_t>(blocks)}));
      known = blocks;
    }
    const std::uint64_t begin = (blocks - 1) * kContentBlock - end_begins();
    TROTH_TRY(const auto last, block_name(end.subspan(begin, tree - end_begins() - begin)));
    TROTH_TRY(const auto root, climb(siblings, last));
    TROTH_TRY(const auto kept_apart, with_tail(size_, root, end.last(tail)));
    if (kept_apart == name)
      return true;
  }
  return false;
}

}  // namespace common::fileclient
