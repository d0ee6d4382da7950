#pragma once

// Files of this machine, below one directory.

#include "common/io/file_io.hpp"
#include "common/io/unique_fd.hpp"

namespace common::io {

// Resolves every path below a descriptor of the root with openat2(RESOLVE_BENEATH |
// RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), so a link planted in the tree leads nowhere. New
// files are 0600, new directories 0700. Calls interrupted by signals are repeated.
class PosixFileIo final : public FileIo {
 public:
  // The root must be an existing directory; links on the way to the root itself are followed.
  [[nodiscard]] static Result<std::unique_ptr<PosixFileIo>> open_root(const std::string& directory);

  [[nodiscard]] Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) override;
  [[nodiscard]] Status rename(std::string_view from, std::string_view to) override;
  [[nodiscard]] Status unlink(std::string_view path) override;
  [[nodiscard]] Status make_directory(std::string_view path) override;
  [[nodiscard]] Status remove_directory(std::string_view path) override;
  [[nodiscard]] Result<std::vector<Entry>> list(std::string_view path) override;
  [[nodiscard]] Status sync_directory(std::string_view path) override;

 private:
  explicit PosixFileIo(UniqueFd root) : root_(std::move(root)) {}

  [[nodiscard]] Result<UniqueFd> open_beneath(std::string_view path, int flags) const;
  [[nodiscard]] Result<UniqueFd> open_parent(std::string_view path) const;

  const UniqueFd root_;
};

}  // namespace common::io
