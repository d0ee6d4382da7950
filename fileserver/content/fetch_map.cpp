#include "fileserver/content/fetch_map.hpp"

#include <algorithm>
#include <memory>

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using fileproto::ByteRange;
using store::Content;
using store::kBlockBytes;

// As many blocks as are verified side by side.
constexpr std::size_t kDrawnAtOnce = 2 << 20;
// Names compared at a time: those of 128 MiB.
constexpr std::uint64_t kNamesAtOnce = 1024;

// Ranges in the order found, neighbours joined.
class RangeList {
 public:
  explicit RangeList(std::size_t most) : most_(most) {}

  Status add(std::uint64_t begin, std::uint64_t end) {
    if (begin >= end)
      return {};
    if (joins_ && ranges_.back().offset + ranges_.back().length == begin) {
      ranges_.back().length += end - begin;
      return {};
    }
    if (ranges_.size() == most_)
      return fail(ErrorCode::TooLarge, "what was asked for is in more than {} pieces: ask for less",
                  most_);
    ranges_.push_back({begin, end - begin});
    joins_ = true;
    return {};
  }
  // What comes next was asked for apart.
  void next_asked() { joins_ = false; }
  std::vector<ByteRange> take() { return std::move(ranges_); }

 private:
  const std::size_t most_;
  std::vector<ByteRange> ranges_;
  bool joins_ = false;
};

Status add_data(store::BlockStore& blocks, const Content& content, std::uint64_t begin,
                std::uint64_t end, RangeList& out) {
  while (begin < end) {
    TROTH_TRY(const std::uint64_t data, store::next_data(blocks, content, begin));
    if (data >= end)
      return {};
    TROTH_TRY(const std::uint64_t hole, store::next_hole(blocks, content, data));
    TROTH_TRY_VOID(out.add(data, std::min(hole, end)));
    begin = hole;
  }
  return {};
}

// Where the trees of both reach, blocks are told apart by name; tails and what only one of them
// has are taken for different unless it is all the same.
Status add_differing(store::BlockStore& blocks, const Content& content, const Content& since,
                     std::uint64_t begin, std::uint64_t end, RangeList& out) {
  const std::uint64_t both =
      std::min(content.tree_size(), since.tree_size()) / kBlockBytes * kBlockBytes;
  std::uint64_t at = begin;
  while (at < std::min(end, both)) {
    const std::uint64_t first = at / kBlockBytes;
    const std::uint64_t last = (std::min(end, both) + kBlockBytes - 1) / kBlockBytes;
    const std::uint64_t count = std::min(kNamesAtOnce, last - first);
    TROTH_TRY(const auto now, store::block_names(blocks, content, first, count));
    TROTH_TRY(const auto then, store::block_names(blocks, since, first, count));
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool is_same = i < now.size() && i < then.size() && now[i] == then[i];
      const std::uint64_t block = (first + i) * kBlockBytes;
      if (!is_same)
        TROTH_TRY_VOID(out.add(std::max(block, begin), std::min(block + kBlockBytes, end)));
    }
    at = (first + count) * kBlockBytes;
  }
  if (content.size == since.size && content.tree_size() == since.tree_size() &&
      content.tail == since.tail) {
    // The last block of both trees, perhaps cut short.
    TROTH_TRY(const auto now, store::block_names(blocks, content, both / kBlockBytes, 1));
    TROTH_TRY(const auto then, store::block_names(blocks, since, both / kBlockBytes, 1));
    if (now == then)
      return {};
  }
  return out.add(std::max(at, begin), end);
}

struct Drawing {
  VolumeRef volume;
  Content content;
  std::vector<ByteRange> ranges;
  std::size_t range = 0;
  std::uint64_t done = 0;  // of this range
  common::Bytes buffer;

  Result<std::span<const std::byte>> next() {
    while (range < ranges.size() && done == ranges[range].length) {
      ++range;
      done = 0;
    }
    if (range == ranges.size())
      return std::span<const std::byte>();
    if (buffer.empty())
      buffer.resize(kDrawnAtOnce);
    const std::uint64_t offset = ranges[range].offset + done;
    // To the end of a block, so that the next reads whole ones.
    const std::uint64_t end = std::min(ranges[range].offset + ranges[range].length,
                                       (offset + kDrawnAtOnce) / kBlockBytes * kBlockBytes);
    const std::span<std::byte> into = std::span(buffer).first(end - offset);
    TROTH_TRY(const std::size_t length, volume->read(content, offset, into));
    if (length != into.size())
      return fail(ErrorCode::Corrupt, "a file ends before its size");
    done += length;
    return std::span<const std::byte>(into);
  }
};

}  // namespace

Result<std::vector<ByteRange>> fetch_map(store::BlockStore& blocks, const Content& content,
                                         const Content* since, std::span<const ByteRange> asked,
                                         std::size_t most) {
  RangeList out(most);
  for (const ByteRange& range : asked) {
    out.next_asked();
    if (range.offset >= content.size)
      continue;
    const std::uint64_t end = range.offset + std::min(range.length, content.size - range.offset);
    TROTH_TRY_VOID(since == nullptr
                       ? add_data(blocks, content, range.offset, end, out)
                       : add_differing(blocks, content, *since, range.offset, end, out));
  }
  return out.take();
}

common::rpc::BytesSource content_source(VolumeRef volume, Content content,
                                        std::vector<ByteRange> ranges) {
  auto drawing = std::make_shared<Drawing>();
  drawing->volume = std::move(volume);
  drawing->content = std::move(content);
  drawing->ranges = std::move(ranges);
  return [drawing](std::span<std::byte>) { return drawing->next(); };
}

}  // namespace fileserver
