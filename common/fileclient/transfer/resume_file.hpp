#pragma once

// What a transfer must know to go on after its process was killed: one small file for each, in a
// directory of the user's own.

#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/crypto/hash.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::fileclient {

// Beside the credentials, which lie at `credentials` (CredentialCache::where()); where those lie in
// no file, in a directory of this user's in /tmp. Made if it is missing (0700). PermissionDenied if
// it could be somebody else's work.
[[nodiscard]] Result<std::string> resume_directory(const std::string& credentials,
                                                   std::string_view cell_id);

// Held under a lock by one process at a time. One thread.
class ResumeFile {
 public:
  // The one of that key. Busy: another process is at this very transfer.
  [[nodiscard]] static Result<ResumeFile> open(const std::string& directory,
                                               const crypto::Digest& key);

  // What was written last; nullopt: nothing, or not whole.
  [[nodiscard]] std::optional<Bytes> read() const;
  // In place, with a checksum; survives the end of the process, not of the machine.
  [[nodiscard]] Status write(ByteView bytes);
  // The transfer is over.
  void remove();

 private:
  ResumeFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

}  // namespace common::fileclient
