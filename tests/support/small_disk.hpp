#pragma once

// A disk so small that a test can fill it: a file system in memory, in a mount namespace of the
// calling thread, where nobody else sees it. What the thread starts afterwards does.

#include <cstdint>
#include <filesystem>
#include <utility>

#include "common/result.hpp"

namespace test_support {

class SmallDisk {
 public:
  // Over the directory, with what is in it. Unsupported: this machine does not let us.
  [[nodiscard]] static common::Result<SmallDisk> over(const std::filesystem::path& directory,
                                                      std::uint64_t bytes);
  SmallDisk(SmallDisk&& other) noexcept : directory_(std::exchange(other.directory_, {})) {}
  SmallDisk& operator=(SmallDisk&&) = delete;
  ~SmallDisk();

 private:
  explicit SmallDisk(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path directory_;
};

}  // namespace test_support
