#pragma once

// A local file in the making: hidden beside its place until it is whole.

#include <string>

#include "common/bytes.hpp"
#include "common/fileclient/transfer/download.hpp"
#include "common/io/unique_fd.hpp"

namespace common::fileclient {

class LocalFile {
 public:
  // Makes ".troth-get-KEY" in the target's directory, or opens what is left of an earlier attempt.
  // `key`: tells transfers apart.
  [[nodiscard]] static Result<LocalFile> open(const DownloadTarget& target, const std::string& key);
  LocalFile(LocalFile&&) = default;
  LocalFile& operator=(LocalFile&&) = default;
  ~LocalFile() = default;

  [[nodiscard]] Status write_at(std::uint64_t offset, ByteView bytes) const;
  [[nodiscard]] Status read_at(std::uint64_t offset, std::span<std::byte> into) const;
  // Cuts it, or grows it with a hole.
  [[nodiscard]] Status resize(std::uint64_t size) const;
  // The size of what an earlier attempt has left.
  [[nodiscard]] Result<std::uint64_t> size() const;
  // Mode and times, then its name.
  [[nodiscard]] Status publish(const DownloadTarget& target);
  void remove();

 private:
  LocalFile(UniqueFd fd, int dir, std::string name)
      : fd_(std::move(fd)), dir_(dir), name_(std::move(name)) {}
  UniqueFd fd_;
  int dir_;
  std::string name_;
};

}  // namespace common::fileclient
