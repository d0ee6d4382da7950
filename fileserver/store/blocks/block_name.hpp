#pragma once

#include <span>

#include "fileserver/store/types.hpp"

namespace fileserver::store {

// The block's name: SHA-256("troth block 1" || kind || length (4 bytes) || bytes). `bytes` is in
// canonical form (no trailing zeros, or no trailing holes) and not empty. Safe from any thread.
[[nodiscard]] Result<BlockName> name_block(BlockKind kind, ByteView bytes);

// The same for many blocks of one kind, some at a time, which is faster than one by one.
[[nodiscard]] Status name_blocks(BlockKind kind, std::span<const ByteView> blocks,
                                 std::span<BlockName> names);

// The 32 bytes that others see as the name of a whole content: equal names mean equal bytes.
[[nodiscard]] Result<BlockName> content_name(const Content& content);

// `bytes` without its trailing zeros; empty: a hole.
[[nodiscard]] ByteView without_trailing_zeros(ByteView bytes);

}  // namespace fileserver::store
