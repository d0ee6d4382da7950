#pragma once

// The simulated disk behind the project's own seam for files: stores and databases run on it as
// they are, and lose what a power cut may take.

#include <memory>

#include "common/io/file_io.hpp"
#include "common/sim/disk.hpp"

namespace common::sim {

// One process's view of a disk. `disk` must outlive it and every file that it opened; so must the
// process, whose death closes all handles: make a new one in each life. Not thread-safe. After the
// machine has died within a step, every call fails with Cancelled.
class SimFileIo final : public io::FileIo {
 public:
  explicit SimFileIo(SimDisk& disk) : disk_(disk) {}

  Result<std::unique_ptr<io::File>> open(std::string_view path, io::OpenMode mode) override;
  Status rename(std::string_view from, std::string_view to) override;
  Status unlink(std::string_view path) override;
  Status make_directory(std::string_view path) override;
  Status remove_directory(std::string_view path) override;
  Result<std::vector<io::Entry>> list(std::string_view path) override;
  Status sync_directory(std::string_view path) override;

 private:
  SimDisk& disk_;
};

}  // namespace common::sim
