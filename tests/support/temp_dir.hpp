#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace test_support {

// A new empty directory below TMPDIR, removed with everything in it by the destructor. Aborts the
// process when it cannot be made: no test can go on without it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

// Whole files, for tests; not durable.
[[nodiscard]] common::Result<std::string> read_file(const std::filesystem::path& path);
[[nodiscard]] common::Status write_file(const std::filesystem::path& path, std::string_view text);

// How many entries a directory has; "." and ".." are none.
[[nodiscard]] std::size_t entries_of(const std::filesystem::path& directory);

// The id that tests/run.py gave this program, by which it finds what was left behind; of our own
// making when the program was started by hand.
[[nodiscard]] const std::string& test_id();

}  // namespace test_support
