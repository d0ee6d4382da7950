#pragma once

// Which bytes a fetch sends, and the source that they are drawn from.

#include <span>
#include <vector>

#include "common/fileproto/contents.hpp"
#include "common/rpc/call.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

namespace fileproto = common::fileproto;
using common::Result;
using common::Status;

// Of `asked` what is there and is no hole, to a block; with `since` also what differs from that
// content, by blocks, holes included. In the order asked. TooLarge: more than `most` ranges.
[[nodiscard]] Result<std::vector<fileproto::ByteRange>> fetch_map(
    store::BlockStore& blocks, const store::Content& content, const store::Content* since,
    std::span<const fileproto::ByteRange> asked, std::size_t most);

// The bytes of `ranges` of a content, one after the other, a MiB at a time, read on several cores
// where the volume has them. Fails where a block cannot be read: the call is cut then.
[[nodiscard]] common::rpc::BytesSource content_source(VolumeRef volume, store::Content content,
                                                      std::vector<fileproto::ByteRange> ranges);

}  // namespace fileserver
