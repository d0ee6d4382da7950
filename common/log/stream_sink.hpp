#pragma once

// Writes finished log lines to a descriptor without ever holding up the caller for long.
//
// A server must not stop because whoever reads its log has stopped. A line that cannot be written
// within kWriteWait is dropped and counted; after a drop no line waits at all until the reader has
// caught up, and the number of lines lost is then written first. Flags of the descriptor are never
// changed: they are shared with whoever started us.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace common::log {

// Longest line, its newline included: what a pipe takes in one piece, so lines of several
// processes never mix.
inline constexpr std::size_t kMaxLine = 4096;

// How long the first line waits for a reader that is behind.
inline constexpr std::chrono::milliseconds kWriteWait{100};

// Callers serialise write_line(); dropped() is safe from any thread.
class StreamSink {
 public:
  // Does not own the descriptor.
  explicit StreamSink(int fd) : fd_(fd) {}

  // `line` ends in a newline and is at most kMaxLine bytes. False: it was dropped.
  bool write_line(std::string_view line);

  // Lines lost so far.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Lines lost since the last line that got through.
  [[nodiscard]] std::uint64_t dropped_in_a_row() const { return in_a_row_; }

 private:
  bool write_all(std::string_view bytes, std::chrono::milliseconds wait);

  int fd_;
  bool is_socket_ = true;  // until the kernel says ENOTSOCK
  std::uint64_t in_a_row_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace common::log
