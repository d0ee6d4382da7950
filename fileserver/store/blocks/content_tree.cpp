#include "fileserver/store/blocks/content_tree.hpp"

#include <algorithm>

#include "fileserver/store/blocks/tree_builder.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// Blocks asked for at once by one read: 64 MiB.
constexpr std::size_t kReadBatch = 512;
// Runs of data and holes that a copy which moves bytes tells apart: 10 MiB of memory. What follows
// the last is gone through block by block.
constexpr std::size_t kMaxRuns = 65'536;

// Contents come from the database, and from other copies before that.
Status check_content(const Content& content) {
  const bool fits = content.tail.size() <= std::min(content.size, kMaxTail) &&
                    content.size <= kMaxFileSize && content.allocated >= content.tail.size();
  if (fits)
    return {};
  return fail(ErrorCode::Corrupt, "a content of {} bytes, {} allocated, with {} in its tail",
              content.size, content.allocated, content.tail.size());
}

// Whether [offset, +length) ends at or below kMaxFileSize.
Status check_range(std::uint64_t offset, std::uint64_t length) {
  if (offset <= kMaxFileSize && length <= kMaxFileSize - offset)
    return {};
  return fail(ErrorCode::TooLarge, "a file may have at most {} bytes", kMaxFileSize);
}

Extent bytes_at(std::uint64_t offset, ByteView bytes) {
  Extent extent;
  extent.kind = Extent::Kind::Memory;
  extent.begin = offset;
  extent.end = offset + bytes.size();
  extent.bytes = bytes.data();
  return extent;
}

Result<Extent> extent_of(const Edit& edit, std::uint64_t size) {
  const std::uint64_t length = edit.kind == Edit::Kind::Data ? edit.bytes.size() : edit.length;
  TROTH_TRY_VOID(check_range(edit.offset, length));
  if (edit.kind == Edit::Kind::Data)
    return bytes_at(edit.offset, edit.bytes);
  Extent extent;
  extent.begin = edit.offset;
  extent.end = edit.offset + length;
  if (edit.kind == Edit::Kind::Hole)
    return extent;
  const bool fits =
      edit.offset % kBlockBytes == 0 && length > 0 &&
      (length == kBlockBytes || (length < kBlockBytes && edit.offset + length >= size));
  if (!fits)
    return fail(ErrorCode::InvalidArgument,
                "a stored block cannot cover {} bytes at {} of a file of {}", length, edit.offset,
                size);
  if (!edit.block.is_hole()) {
    extent.kind = Extent::Kind::Block;
    extent.block = edit.block;
  }
  return extent;
}

// Plans [from_offset, +length) of the source's tree over to_offset. Where the two agree modulo
// kBlockBytes, whole subtrees are shared, holes included; else bytes are moved, and it is worth
// knowing where there are none.
Status plan_from_tree(TreeCursor& source, std::uint64_t from_offset, std::uint64_t length,
                      std::uint64_t to_offset, EditPlan& plan) {
  const std::uint64_t end = from_offset + length;
  std::uint64_t at = from_offset;
  const auto add = [&](std::uint64_t up_to, Extent::Kind kind) {
    Extent extent;
    extent.kind = kind;
    extent.begin = to_offset + (at - from_offset);
    extent.end = to_offset + (up_to - from_offset);
    extent.from = at;
    plan.add(extent);
    at = up_to;
  };
  const bool moves_bytes = from_offset % kBlockBytes != to_offset % kBlockBytes;
  for (std::size_t runs = 0; moves_bytes && at < end && runs < kMaxRuns; ++runs) {
    TROTH_TRY(const auto data, source.next(at / kBlockBytes, TreeCursor::Seek::Data));
    if (data > at / kBlockBytes)
      add(std::min(data * kBlockBytes, end), Extent::Kind::Zeros);
    TROTH_TRY(const auto hole, source.next(at / kBlockBytes, TreeCursor::Seek::Hole));
    if (hole > at / kBlockBytes)
      add(std::min(hole * kBlockBytes, end), Extent::Kind::Tree);
  }
  add(end, Extent::Kind::Tree);
  return {};
}

}  // namespace

Result<Content> make_content(BlockStore& blocks, Upload& upload, ByteView bytes) {
  const Edit all{.kind = Edit::Kind::Data, .bytes = bytes};
  return edit_content(blocks, upload, Content{}, std::span(&all, 1), bytes.size());
}

Result<Content> edit_content(BlockStore& blocks, Upload& upload, const Content& base,
                             std::span<const Edit> edits, std::uint64_t size) {
  TROTH_TRY_VOID(check_content(base));
  TROTH_TRY_VOID(check_range(size, 0));
  EditPlan plan;
  plan.add(bytes_at(base.tree_size(), base.tail));
  for (const Edit& edit : edits) {
    TROTH_TRY(const Extent extent, extent_of(edit, size));
    plan.add(extent);
  }
  const std::vector<Extent> extents = plan.take(size);
  return TreeBuilder(blocks, upload, base, nullptr, extents, size).build();
}

Result<Content> append_content(BlockStore& blocks, Upload& upload, const Content& base,
                               ByteView bytes) {
  TROTH_TRY_VOID(check_content(base));
  TROTH_TRY_VOID(check_range(base.size, bytes.size()));
  const std::uint64_t size = base.size + bytes.size();
  const bool only_tail = base.size <= kMaxTail;
  const bool fits =
      only_tail ? size <= kMaxTail : base.tail.size() + bytes.size() <= kMaxAppendedTail;
  if (fits) {
    Content result = base;
    result.tail.insert(result.tail.end(), bytes.begin(), bytes.end());
    result.allocated += bytes.size();
    result.size = size;
    return result;
  }
  const Edit more{.kind = Edit::Kind::Data, .offset = base.size, .bytes = bytes};
  return edit_content(blocks, upload, base, std::span(&more, 1), size);
}

Result<Content> copy_range(BlockStore& blocks, Upload& upload, const Content& from,
                           std::uint64_t from_offset, std::uint64_t length, const Content& to,
                           std::uint64_t to_offset) {
  TROTH_TRY_VOID(check_content(from));
  TROTH_TRY_VOID(check_content(to));
  if (from_offset >= from.size || length == 0)
    return to;
  length = std::min(length, from.size - from_offset);
  TROTH_TRY_VOID(check_range(to_offset, length));

  EditPlan plan;
  plan.add(bytes_at(to.tree_size(), to.tail));
  // What comes from the source's tree, then what comes from its tail.
  const std::uint64_t in_tree =
      from_offset < from.tree_size() ? std::min(length, from.tree_size() - from_offset) : 0;
  TreeCursor source(blocks, from.root, from.tree_size());
  TROTH_TRY_VOID(plan_from_tree(source, from_offset, in_tree, to_offset, plan));
  if (length > in_tree)
    plan.add(bytes_at(
        to_offset + in_tree,
        ByteView(from.tail).subspan(from_offset + in_tree - from.tree_size(), length - in_tree)));

  const std::uint64_t size = std::max(to.size, to_offset + length);
  const std::vector<Extent> extents = plan.take(size);
  return TreeBuilder(blocks, upload, to, &source, extents, size).build();
}

Result<std::size_t> read_content(BlockStore& blocks, const Content& content, std::uint64_t offset,
                                 std::span<std::byte> into) {
  TROTH_TRY_VOID(check_content(content));
  if (offset >= content.size)
    return std::size_t{0};
  into = into.first(std::min<std::uint64_t>(into.size(), content.size - offset));
  const std::uint64_t end = offset + into.size();
  const std::uint64_t tree_end = std::min(end, content.tree_size());

  TreeCursor tree(blocks, content.root, content.tree_size());
  std::vector<BlockStore::Wanted> wanted;
  for (std::uint64_t at = offset; at < tree_end;) {
    const std::uint64_t skip = at % kBlockBytes;
    const std::size_t length = std::min(kBlockBytes - skip, tree_end - at);
    TROTH_TRY(const BlockName name, tree.block(at / kBlockBytes));
    wanted.push_back({name, into.subspan(at - offset, length), skip});
    at += length;
    if (wanted.size() < kReadBatch && at < tree_end)
      continue;
    TROTH_TRY_VOID(read_kept(blocks, wanted));
    wanted.clear();
  }
  if (end > content.tree_size()) {
    const std::uint64_t first = std::max(offset, content.tree_size());
    std::copy_n(content.tail.begin() + static_cast<std::ptrdiff_t>(first - content.tree_size()),
                end - first, into.begin() + static_cast<std::ptrdiff_t>(first - offset));
  }
  return into.size();
}

Result<std::uint64_t> next_data(BlockStore& blocks, const Content& content, std::uint64_t offset) {
  TROTH_TRY_VOID(check_content(content));
  if (offset >= content.tree_size())  // all of a tail is data
    return std::min(offset, content.size);
  TreeCursor tree(blocks, content.root, content.tree_size());
  TROTH_TRY(const auto block, tree.next(offset / kBlockBytes, TreeCursor::Seek::Data));
  if (block == tree.block_count())
    return content.tail.empty() ? content.size : content.tree_size();
  return std::max(offset, block * kBlockBytes);
}

Result<std::uint64_t> next_hole(BlockStore& blocks, const Content& content, std::uint64_t offset) {
  TROTH_TRY_VOID(check_content(content));
  if (offset >= content.tree_size())
    return content.size;
  TreeCursor tree(blocks, content.root, content.tree_size());
  TROTH_TRY(const auto block, tree.next(offset / kBlockBytes, TreeCursor::Seek::Hole));
  if (block == tree.block_count())
    return content.size;
  return std::max(offset, block * kBlockBytes);
}

Result<std::vector<BlockName>> block_names(BlockStore& blocks, const Content& content,
                                           std::uint64_t first, std::uint64_t count) {
  TROTH_TRY_VOID(check_content(content));
  TreeCursor tree(blocks, content.root, content.tree_size());
  std::vector<BlockName> names;
  if (first >= tree.block_count())
    return names;
  const std::uint64_t last = first + std::min(count, tree.block_count() - first);
  names.reserve(last - first);
  for (std::uint64_t block = first; block < last; ++block) {
    TROTH_TRY(const BlockName name, tree.block(block));
    names.push_back(name);
  }
  return names;
}

}  // namespace fileserver::store
