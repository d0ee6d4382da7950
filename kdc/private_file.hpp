#pragma once

// Files that hold secrets: read only if nobody else could have read or written them.

#include <string>

#include "common/crypto/secret.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace kdc {

// Open for reading. NotFound; PermissionDenied as below.
[[nodiscard]] common::Result<common::UniqueFd> open_private_file(const std::string& path);
// The whole file. NotFound; PermissionDenied if it is a link or no regular file, if its owner is
// neither us nor root, or if group or others have any right to it; TooLarge above `most`.
[[nodiscard]] common::Result<common::crypto::Secret> read_private_file(const std::string& path,
                                                                       std::size_t most);
// Replaces or makes it (0600) in one step; durable when it returns.
[[nodiscard]] common::Status write_private_file(const std::string& path,
                                                const common::crypto::Secret& content);
// Overwrites its bytes, syncs, removes the name, syncs the directory. Missing is success.
[[nodiscard]] common::Status wipe_private_file(const std::string& path);

}  // namespace kdc
