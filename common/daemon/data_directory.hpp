#pragma once

#include <optional>
#include <string>

#include "common/io/lock_file.hpp"
#include "common/result.hpp"

namespace common::daemon {

// A server's own directory: made if missing, private, and held by one process. Not for what is in
// it. Main thread.
class DataDirectory {
 public:
  // Makes the last part of `path` (0700) if it is missing, checks that it is ours and closed to
  // others, and locks it. Every failure says what to do. What this made is removed again unless
  // keep() was called, so that a start that fails later leaves nothing behind.
  static Result<DataDirectory> open(const std::string& path);

  DataDirectory(DataDirectory&& other) noexcept;
  DataDirectory& operator=(DataDirectory&&) = delete;
  ~DataDirectory();

  // The program has started: what was made stays.
  void keep() { made_ = false; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  DataDirectory(std::string path, bool made) : path_(std::move(path)), made_(made) {}

  std::string path_;
  bool made_;
  std::optional<io::LockFile> lock_;
};

}  // namespace common::daemon
