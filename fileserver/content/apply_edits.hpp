#pragma once

// New contents of files out of old ones, bytes that came along and bytes that were staged before.

#include <span>
#include <vector>

#include "common/fileproto/changes.hpp"
#include "fileserver/store/blocks/content_tree.hpp"

namespace fileserver {

namespace fileproto = common::fileproto;
using common::ByteView;
using common::Result;
using common::Status;

// `base` with `holes` made, then `edits` put in one after the other, then cut or grown to `size`.
// `raw` has the edits' bytes, in order; it must stay until this returns. InvalidArgument: an edit
// reaches beyond the new end, or there are not as many bytes as the edits say.
[[nodiscard]] Result<store::Content> apply_edits(store::BlockStore& blocks, store::Upload& upload,
                                                 const store::Content& base,
                                                 const fileproto::Store& change, ByteView raw);

// The same where the edits' bytes are ranges of `staged`. Long pieces are taken over where they
// lie, short ones are read some MiB at a time: memory does not grow with the change.
[[nodiscard]] Result<store::Content> apply_staged(store::BlockStore& blocks, store::Upload& upload,
                                                  const store::Content& base,
                                                  const fileproto::Store& change,
                                                  const store::Content& staged);

// --- sets of ranges ---

// `ranges`, ascending and not touching, with one more.
void add_range(std::vector<fileproto::ByteRange>& ranges, fileproto::ByteRange more);
[[nodiscard]] bool has_range(std::span<const fileproto::ByteRange> ranges,
                             fileproto::ByteRange range);

}  // namespace fileserver
