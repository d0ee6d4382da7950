#pragma once

// One local file into a cell. Small ones are one request. Of large ones the pieces are staged in
// parallel, each with its hash, and nothing is visible until one commit takes them all; a process
// that is killed in between goes on where it was.

#include <optional>
#include <string>

#include "common/fileclient/file_client.hpp"
#include "common/fileclient/transfer/progress.hpp"

namespace common::fileclient {

// Of a staged upload, and of one range of a download: threads * this is what a transfer takes of
// memory.
inline constexpr std::uint64_t kPieceBytes = fileproto::kMaxStagePieceBytes;
inline constexpr std::size_t kTransferThreads = 4;

struct TransferOptions {
  CallOptions calls;             // their deadline is that of each call, not of the transfer
  std::string resume_directory;  // resume_directory(); empty: does not outlive its process
  Progress* progress = nullptr;  // outlives the transfer
  std::size_t threads = kTransferThreads;
};

// Where a file goes.
struct UploadTarget {
  Fid dir;
  std::string name;
  std::optional<fileproto::Attributes> existing;  // of that name: a file, which is overwritten
};
struct UploadSource {
  int fd = -1;                               // a regular file, which is read by offset; borrowed
  std::uint32_t mode = 0644;                 // of a new file
  std::optional<fileproto::FileTime> mtime;  // set on the file; nullopt: now
};

struct Uploaded {
  fileproto::Attributes node;
  std::optional<Seq> lost;  // somebody else's version, stored meanwhile, that this one replaced
  bool resumed = false;     // pieces were there from an earlier attempt
};

// Blocks until it is done, cancelled, or a call fails for good. Conflict: the file is not what
// `existing` says any more, and the volume's policy refuses; AlreadyExists: it was made meanwhile;
// Stale: the local file changed while it was read. What was staged is kept for the next attempt.
[[nodiscard]] Result<Uploaded> upload(FileClient& client, const UploadSource& source,
                                      const UploadTarget& target, const TransferOptions& options);

}  // namespace common::fileclient
