#pragma once

// What the tests of trees and of the collector share: a store in memory, and files as plain bytes,
// from which the tree that they must have is worked out a second time, from below.

#include <algorithm>

#include "common/sim/random.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

namespace block_test {

struct TreeStore {
  explicit TreeStore(std::uint32_t segment_bytes = 64 << 20)
      : faulty(memory),
        segments(*Segments::open(faulty, "segments", {.segment_bytes = segment_bytes}, clock)),
        pool(1),
        store(*segments, index, pool, {}) {}

  MemoryFileIo memory;
  FaultyFileIo faulty;
  common::ManualClock clock;
  std::unique_ptr<Segments> segments;
  MemoryIndex index;
  WorkPool pool;
  BlockStore store;
};

// A file in memory whose holes take no room.
class PlainFile {
 public:
  static constexpr std::uint64_t kPage = 4096;

  [[nodiscard]] std::uint64_t size() const { return size_; }

  void write(std::uint64_t offset, ByteView bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const std::uint64_t at = offset + done;
      const std::size_t length = std::min<std::uint64_t>(bytes.size() - done, kPage - at % kPage);
      Bytes& page = pages_[at / kPage];
      page.resize(kPage);
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(done), length,
                  page.begin() + static_cast<std::ptrdiff_t>(at % kPage));
      done += length;
    }
    size_ = std::max(size_, offset + bytes.size());
  }
  void zero(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = offset + length;
    for (auto page = pages_.lower_bound(offset / kPage);
         page != pages_.end() && page->first * kPage < end;) {
      const std::uint64_t begin = page->first * kPage;
      const std::uint64_t first = std::max(begin, offset) - begin;
      const std::uint64_t last = std::min(begin + kPage, end) - begin;
      std::fill(page->second.begin() + static_cast<std::ptrdiff_t>(first),
                page->second.begin() + static_cast<std::ptrdiff_t>(last), std::byte{0});
      page = first == 0 && last == kPage ? pages_.erase(page) : std::next(page);
    }
  }
  void resize(std::uint64_t size) {
    if (size < size_)
      zero(size, size_ - size);
    size_ = size;
  }
  // As write(to, from.read(offset, length)), holes unread.
  void copy(const PlainFile& from, std::uint64_t offset, std::uint64_t length, std::uint64_t to) {
    zero(to, length);
    size_ = std::max(size_, to + length);
    const std::uint64_t end = offset + length;
    for (auto page = from.pages_.lower_bound(offset / kPage);
         page != from.pages_.end() && page->first * kPage < end; ++page) {
      const std::uint64_t first = std::max(page->first * kPage, offset);
      const std::uint64_t last = std::min((page->first + 1) * kPage, end);
      write(to + (first - offset), ByteView(page->second).subspan(first % kPage, last - first));
    }
  }
  [[nodiscard]] Bytes read(std::uint64_t offset, std::uint64_t length) const {
    Bytes bytes(offset < size_ ? std::min(length, size_ - offset) : 0);
    for (auto page = pages_.lower_bound(offset / kPage);
         page != pages_.end() && page->first * kPage < offset + bytes.size(); ++page) {
      const std::uint64_t begin = std::max(page->first * kPage, offset);
      const std::uint64_t end = std::min((page->first + 1) * kPage, offset + bytes.size());
      std::copy_n(page->second.begin() + static_cast<std::ptrdiff_t>(begin % kPage), end - begin,
                  bytes.begin() + static_cast<std::ptrdiff_t>(begin - offset));
    }
    return bytes;
  }
  // Blocks that are not all zero.
  [[nodiscard]] std::map<std::uint64_t, Bytes> blocks() const {
    std::map<std::uint64_t, Bytes> found;
    for (const auto& [page, bytes] : pages_) {
      const std::uint64_t block = page * kPage / kBlockBytes;
      if (found.contains(block))
        continue;
      Bytes all = read(block * kBlockBytes, kBlockBytes);
      all.resize(without_trailing_zeros(all).size());
      if (!all.empty())
        found.emplace(block, std::move(all));
    }
    return found;
  }

 private:
  std::uint64_t size_ = 0;
  std::map<std::uint64_t, Bytes> pages_;
};

// The content that a file must have, worked out level by level from its blocks.
inline Content expected_content(const PlainFile& file) {
  Content content;
  content.size = file.size();
  if (file.size() <= kMaxTail) {
    content.tail = file.read(0, file.size());
    content.allocated = file.size();
    return content;
  }
  std::map<std::uint64_t, BlockName> level;
  for (const auto& [block, bytes] : file.blocks()) {
    level.emplace(block, name_of(bytes));
    content.allocated += std::min(kBlockBytes, file.size() - block * kBlockBytes);
  }
  for (unsigned height = tree_height(file.size()); height > 0; --height) {
    std::map<std::uint64_t, Bytes> lists;
    for (const auto& [position, name] : level) {
      Bytes& list = lists[position / kFanOut];
      list.resize((position % kFanOut + 1) * sizeof(BlockName));
      std::ranges::copy(name.bytes, list.end() - sizeof(BlockName));
    }
    level.clear();
    for (const auto& [position, bytes] : lists)
      level.emplace(position, name_of(bytes, BlockKind::List));
  }
  if (!level.empty())
    content.root = level.begin()->second;
  return content;
}

inline Bytes read_all(BlockStore& store, const Content& content, std::uint64_t offset,
                      std::size_t length) {
  Bytes into(length, std::byte{0x5a});
  const auto got = read_content(store, content, offset, into);
  REQUIRE_OK(got);
  into.resize(*got);
  return into;
}

inline Edit data_edit(std::uint64_t offset, ByteView bytes) {
  return {.kind = Edit::Kind::Data, .offset = offset, .bytes = bytes};
}
inline Edit hole_edit(std::uint64_t offset, std::uint64_t length) {
  return {.kind = Edit::Kind::Hole, .offset = offset, .length = length};
}
inline Edit block_edit(std::uint64_t offset, std::uint64_t length, const BlockName& block) {
  return {.kind = Edit::Kind::Block, .offset = offset, .length = length, .block = block};
}

}  // namespace block_test
