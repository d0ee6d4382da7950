#include <cstring>

#include "tests/support/store_model.hpp"

namespace test_support {

void ModelBytes::write(std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const std::uint64_t number = offset / kPage;
    const std::uint64_t within = offset % kPage;
    const std::size_t count = std::min<std::size_t>(bytes.size(), kPage - within);
    const auto piece = bytes.first(count);
    offset += count;
    bytes = bytes.subspan(count);
    size_ = std::max(size_, offset);
    if (!pages_.contains(number) &&
        std::all_of(piece.begin(), piece.end(), [](std::byte b) { return b == std::byte{0}; }))
      continue;
    auto& slot = pages_[number];
    auto page = slot ? std::make_shared<Page>(*slot) : std::make_shared<Page>();
    std::memcpy(page->data() + within, piece.data(), count);
    slot = std::move(page);
  }
}

void ModelBytes::zero(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  for (auto it = pages_.lower_bound(offset / kPage); it != pages_.end();) {
    const std::uint64_t begin = it->first * kPage;
    if (begin >= end)
      break;
    const std::uint64_t from = std::max(begin, offset);
    const std::uint64_t to = std::min(begin + kPage, end);
    if (to - from == kPage) {
      it = pages_.erase(it);
      continue;
    }
    if (from < to) {
      auto page = std::make_shared<Page>(*it->second);
      std::memset(page->data() + (from - begin), 0, to - from);
      it->second = std::move(page);
    }
    ++it;
  }
  if (length != 0)
    size_ = std::max(size_, end);
}

void ModelBytes::resize(std::uint64_t size) {
  if (size < size_)
    zero(size, size_ - size);
  size_ = size;
}

Bytes ModelBytes::read(std::uint64_t offset, std::uint64_t length) const {
  if (offset >= size_)
    return {};
  Bytes result(std::min(length, size_ - offset));
  const std::uint64_t end = offset + result.size();
  for (auto it = pages_.lower_bound(offset / kPage); it != pages_.end(); ++it) {
    const std::uint64_t begin = it->first * kPage;
    if (begin >= end)
      break;
    const std::uint64_t from = std::max(begin, offset);
    const std::uint64_t to = std::min(begin + kPage, end);
    std::memcpy(result.data() + (from - offset), it->second->data() + (from - begin), to - from);
  }
  return result;
}

std::uint64_t ModelBytes::allocated(std::uint64_t tail) const {
  const std::uint64_t tree = size_ - tail;
  std::set<std::uint64_t> blocks;
  for (const auto& [number, page] : pages_) {
    const std::uint64_t begin = number * kPage;
    if (begin >= tree)
      break;
    if (blocks.contains(begin / store::kBlockBytes))
      continue;
    const auto end = page->begin() + static_cast<std::ptrdiff_t>(std::min(kPage, tree - begin));
    if (std::any_of(page->begin(), end, [](std::byte b) { return b != std::byte{0}; }))
      blocks.insert(begin / store::kBlockBytes);
  }
  std::uint64_t total = tail;
  for (const std::uint64_t block : blocks) {
    const std::uint64_t begin = block * store::kBlockBytes;
    total += std::min(store::kBlockBytes, tree - begin);
  }
  return total;
}

std::vector<std::uint64_t> ModelBytes::places() const {
  std::vector<std::uint64_t> result;
  for (const auto& [number, page] : pages_)
    result.push_back(number * kPage);
  return result;
}

}  // namespace test_support
