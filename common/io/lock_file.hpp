#pragma once

// One process per directory: the lock that keeps a second daemon off the data of a first.

#include <sys/types.h>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::io {

// Holds an exclusive advisory lock (flock) on a file that names the holder's pid. The kernel drops
// it when the holder ends, however it ends, so a leftover file never blocks anybody and is never
// removed by the holder itself; one that was removed all the same is noticed and keeps its promise.
// A second holder is refused within one process, too.
class LockFile {
 public:
  // Makes the file if it is missing (0600; the directory must exist). Does not wait. If another
  // holder has it: Busy, with one line that names its pid and `what` is in use, and what to do.
  //   LockFile::acquire(data_dir + "/lock", "data directory " + data_dir)
  [[nodiscard]] static Result<LockFile> acquire(const std::string& path, const std::string& what);

  LockFile(LockFile&&) noexcept = default;
  LockFile& operator=(LockFile&&) noexcept = default;

 private:
  explicit LockFile(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// The lock of a whole directory: acquire(directory + "/lock", ...).
[[nodiscard]] Result<LockFile> lock_directory(const std::string& directory);

}  // namespace common::io
