#pragma once

// What an upload must remember to go on after its process was killed. Pure.

#include <optional>
#include <string>
#include <vector>

#include "common/bytes.hpp"
#include "common/crypto/hash.hpp"
#include "common/fileproto/contents.hpp"

namespace common::fileclient {

// A local file as it was: whoever changes it changes one of these.
struct SourceStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend bool operator==(const SourceStamp&, const SourceStamp&) = default;
};

struct UploadState {
  SourceStamp source;
  Fid staging;
  // The new file's own node and hidden name, once it has been made.
  NodeId made;
  std::string hidden_name;
  friend bool operator==(const UploadState&, const UploadState&) = default;
};
[[nodiscard]] Bytes encode(const UploadState& state);
[[nodiscard]] Result<UploadState> decode_upload_state(ByteView bytes);

// Which transfer it is: a file (by device and inode) to a name in a directory.
[[nodiscard]] Result<crypto::Digest> upload_key(const SourceStamp& source, Fid dir,
                                                std::string_view name);

// What is left to be sent of `data` (ascending ranges of the file that are no holes), in pieces of
// at most `piece` bytes that do not cross multiples of it, given what the server has.
[[nodiscard]] std::vector<fileproto::ByteRange> missing_pieces(
    const std::vector<fileproto::ByteRange>& data, const std::vector<fileproto::ByteRange>& there,
    std::uint64_t piece);

// The edits of a store that takes `data` from a staging; one edit for all if they are too many for
// a call.
[[nodiscard]] std::vector<fileproto::ByteRange> bounded_ranges(
    std::vector<fileproto::ByteRange> data, std::uint64_t size, std::size_t most);

}  // namespace common::fileclient
