#pragma once

// An array that grows by whole segments: nothing moves, no growth takes long, and what is allocated
// exceeds what is used by one segment at most.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fileserver::promises {

// T is trivial or has a default constructor; entries of a new segment are value-initialised.
template <typename T, std::size_t kSegment>
class Segmented {
  static_assert((kSegment & (kSegment - 1)) == 0);

 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return segments_[i / kSegment][i % kSegment]; }
  const T& operator[](std::size_t i) const { return segments_[i / kSegment][i % kSegment]; }

  // Makes one more, and gives its index.
  std::size_t add() {
    if (size_ == segments_.size() * kSegment)
      segments_.push_back(std::make_unique<T[]>(kSegment));
    return size_++;
  }

  [[nodiscard]] std::size_t memory_bytes() const {
    return segments_.size() * kSegment * sizeof(T) + segments_.capacity() * sizeof(void*);
  }

 private:
  std::vector<std::unique_ptr<T[]>> segments_;
  std::size_t size_ = 0;
};

}  // namespace fileserver::promises
