#pragma once

// How far a transfer is: counted by those who do the work, read by whoever shows it.

#include <atomic>
#include <cstdint>
#include <string>

#include "common/sync/locked.hpp"

namespace common::fileclient {

// Any thread. Totals grow while a tree is still being looked through.
struct Progress {
  std::atomic<std::uint64_t> files_total{0};
  std::atomic<std::uint64_t> files_done{0};
  std::atomic<std::uint64_t> bytes_total{0};
  std::atomic<std::uint64_t> bytes_done{0};     // moved now, or there before
  std::atomic<std::uint64_t> bytes_resumed{0};  // of those: there before, so they tell no speed
  std::atomic<bool> totals_known{false};
  Locked<std::string> current;  // the file that was begun last

  void begin_file(const std::string& path) { *current.lock() = path; }
};

}  // namespace common::fileclient
