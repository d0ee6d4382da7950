#pragma once

// Bytes waiting to be written, first in, first out. Holds no memory when empty: most of ten
// thousand streams have nothing to say at any moment.

#include <cstddef>
#include <span>
#include <vector>

namespace common::stream {

class OutBuffer {
 public:
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return bytes_.size() - consumed_; }
  [[nodiscard]] std::span<const std::byte> view() const {
    return std::span<const std::byte>(bytes_).subspan(consumed_);
  }

  void append(std::span<const std::byte> more) {
    // Keeps the waste in front below the live bytes, so that a buffer that never quite empties
    // does not creep.
    if (consumed_ > 0 && consumed_ >= size()) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(consumed_));
      consumed_ = 0;
    }
    bytes_.insert(bytes_.end(), more.begin(), more.end());
  }

  // Precondition: n <= size().
  void consume(std::size_t n) {
    consumed_ += n;
    if (consumed_ == bytes_.size())
      clear();
  }

  void clear() {
    std::vector<std::byte>().swap(bytes_);
    consumed_ = 0;
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t consumed_ = 0;
};

}  // namespace common::stream
