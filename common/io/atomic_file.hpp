#pragma once

// Whole files that are never seen half-written: not by another process, not after kill -9, not
// after a power loss.

#include <functional>
#include <string>

#include "common/io/file_io.hpp"

namespace common::io {

// Replaces (or makes) the file at `path` by `bytes`: writes `path` + ".new", syncs it, renames it
// over `path`, syncs the directory. Durable once it returns success. On failure the old file is
// still there, except that after a failed sync of the directory either one may be found.
// One writer per path at a time; readers at any time. Blocks on the disk.
//
// `prepare` is given the name of the new file before that is synced and renamed: for an owner or
// mode, so that no moment shows the new content under wrong ones. Its failure keeps the old file.
using PrepareFile = std::function<Status(const std::string& temporary)>;
[[nodiscard]] Status write_file_atomically(FileIo& io, std::string_view path,
                                           std::span<const std::byte> bytes,
                                           const PrepareFile& prepare = {});

// The whole file; more than `limit` bytes is TooLarge, a missing one NotFound.
[[nodiscard]] Result<std::vector<std::byte>> read_whole_file(FileIo& io, std::string_view path,
                                                             std::size_t limit);

}  // namespace common::io
