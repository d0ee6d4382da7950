#pragma once

// The names of data blocks (fileserver/STORE.md 1) as both ends compute them, and what a staged
// piece is known by, which is made of them: so no byte is hashed twice for one store.

#include <span>

#include "common/bytes.hpp"
#include "common/fileproto/node.hpp"
#include "common/result.hpp"

namespace common::fileproto {

// Files are cut at multiples of this.
inline constexpr std::uint64_t kContentBlock = 128 * 1024;

// The name of each: of at most kContentBlock bytes, without its zeros at the end; what is all zeros
// is a hole, named by zeros. Any thread; some at a time, which is faster than one by one.
[[nodiscard]] Status name_data_blocks(std::span<const ByteView> blocks,
                                      std::span<ContentName> names);

// [offset, offset + bytes.size()) of a staging, cut where blocks of the staging end.
[[nodiscard]] std::vector<ByteView> parts_of_piece(std::uint64_t offset, ByteView bytes);

// SHA-256("troth piece 1" || offset (8 bytes) || length (8) || the names of its parts, in order).
[[nodiscard]] Result<ContentName> hash_of_piece(std::uint64_t offset, std::uint64_t length,
                                                std::span<const ContentName> names);
[[nodiscard]] Result<ContentName> hash_of_piece(std::uint64_t offset, ByteView bytes);

}  // namespace common::fileproto
