#pragma once

// One file of a cell onto the local disk: into a hidden file beside its place, which gets its name
// when all bytes are there and are those that the server has stored.

#include <string>

#include "common/fileclient/transfer/upload.hpp"

namespace common::fileclient {

struct DownloadTarget {
  int dir = -1;                              // borrowed; AT_FDCWD is the working directory
  std::string name;                          // no slash in it
  std::uint32_t mode = 0644;                 // as chmod: no umask is applied
  std::optional<fileproto::FileTime> mtime;  // nullopt: now
};

// `node`: as the file was found; it is read as of that version, whatever happens to it meanwhile.
// A file of the target's name is replaced at the end. Blocks. Corrupt: what arrived is not what was
// stored. Stale, NotFound: that version is gone; look at the file again. Parts that arrived are
// kept for the next attempt.
[[nodiscard]] Status download(FileClient& client, Fid fid, const fileproto::Attributes& node,
                              const DownloadTarget& target, const TransferOptions& options);

// Its bytes in order, to whoever takes them; at most a few pieces are in memory. `offset` and
// `length` bound what is read.
using TakeBytes = std::function<Status(ByteView)>;
[[nodiscard]] Status read_file(FileClient& client, Fid fid, const fileproto::Attributes& node,
                               std::uint64_t offset, std::uint64_t length, const TakeBytes& take,
                               const TransferOptions& options);

// Puts `bytes` (all of a small file) at the target.
[[nodiscard]] Status place_file(const DownloadTarget& target, ByteView bytes);

}  // namespace common::fileclient
