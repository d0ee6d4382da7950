#pragma once

// Files in memory that forget on crash() exactly what the contract of FileIo does not promise:
// every byte written since a file's last sync() and every name changed since its directory's last
// sync_directory(). Code that forgets a sync works here until it is crashed.

#include "common/io/file_io.hpp"

namespace common::io {

class MemoryFileIo final : public FileIo {
 public:
  MemoryFileIo();
  ~MemoryFileIo() override;

  [[nodiscard]] Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) override;
  [[nodiscard]] Status rename(std::string_view from, std::string_view to) override;
  [[nodiscard]] Status unlink(std::string_view path) override;
  [[nodiscard]] Status make_directory(std::string_view path) override;
  [[nodiscard]] Status remove_directory(std::string_view path) override;
  [[nodiscard]] Result<std::vector<Entry>> list(std::string_view path) override;
  [[nodiscard]] Status sync_directory(std::string_view path) override;

  // The power fails and comes back: only what was synced is left. Handles opened before fail with
  // IoError from now on.
  void crash();

 private:
  struct Tree;
  class MemoryFile;
  const std::shared_ptr<Tree> tree_;  // shared with open files, which may outlive this object
};

}  // namespace common::io
