#pragma once

// Received bytes waiting to be understood: grows at the end, is consumed from the front. What has
// been consumed is wiped, since it may have been a password or a key; see kMostWiped.

#include <string.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace common::rpc {

// Secrets are small: what is larger is file contents, for which wiping would cost what copying
// does.
inline constexpr std::size_t kMostWiped = 64 * 1024;

inline void wipe_if_small(void* bytes, std::size_t size) {
  if (size > 0 && size <= kMostWiped)
    ::explicit_bzero(bytes, size);
}
// Also what is in it is gone.
inline void wipe_if_small(std::string& text) {
  wipe_if_small(text.data(), text.size());
  text.clear();
}

class ByteBuffer {
 public:
  ByteBuffer() = default;
  ByteBuffer(const ByteBuffer&) = delete;
  ByteBuffer& operator=(const ByteBuffer&) = delete;
  ~ByteBuffer() { wipe_if_small(bytes_.get() + begin_, size()); }

  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes_.get()) + begin_, end_ - begin_};
  }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {bytes_.get() + begin_, end_ - begin_};
  }
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

  // Uninitialised room at the end, at least `wanted` bytes; call added() with what was used.
  // Capacity doubles, so it never exceeds twice what was needed. May throw std::bad_alloc.
  [[nodiscard]] std::span<std::byte> room(std::size_t wanted) {
    if (capacity_ - end_ < wanted)
      make_room(wanted);
    return {bytes_.get() + end_, capacity_ - end_};
  }
  void added(std::size_t count) { end_ += count; }

  void consume(std::size_t count) {
    wipe_if_small(bytes_.get() + begin_, count);
    begin_ += count;
    if (begin_ == end_)
      begin_ = end_ = 0;
  }

  // Keeps no more room than what is waiting needs. May throw std::bad_alloc.
  void shrink() {
    const std::size_t used = size();
    auto moved = used == 0 ? nullptr : std::make_unique_for_overwrite<std::byte[]>(used);
    if (used != 0)
      std::memcpy(moved.get(), bytes_.get() + begin_, used);
    wipe_if_small(bytes_.get() + begin_, used);
    bytes_ = std::move(moved);
    capacity_ = end_ = used;
    begin_ = 0;
  }

  // Gives the memory back if nothing is waiting in it.
  void release_if_empty() {
    if (size() != 0)
      return;
    bytes_.reset();
    capacity_ = begin_ = end_ = 0;
  }

  // Forgets everything.
  void clear() {
    consume(size());
    release_if_empty();
  }

 private:
  void make_room(std::size_t wanted) {
    const std::size_t used = size();
    if (capacity_ - used >= wanted && begin_ >= capacity_ / 2) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, used);
      // What is left of the old place behind the new one.
      const std::size_t stale = std::max(begin_, used);
      wipe_if_small(bytes_.get() + stale, end_ - stale);
    } else {
      std::size_t larger = capacity_ == 0 ? wanted : capacity_;
      while (larger - used < wanted)
        larger *= 2;
      auto moved = std::make_unique_for_overwrite<std::byte[]>(larger);
      if (used != 0)
        std::memcpy(moved.get(), bytes_.get() + begin_, used);
      wipe_if_small(bytes_.get() + begin_, used);
      bytes_ = std::move(moved);
      capacity_ = larger;
    }
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<std::byte[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace common::rpc
