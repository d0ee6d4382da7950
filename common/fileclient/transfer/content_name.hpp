#pragma once

// The name of a file's content (fileserver/STORE.md 1), computed from its bytes: what was received
// is what the server has stored, or it is noticed.

#include <array>
#include <cstdint>
#include <vector>

#include "common/bytes.hpp"
#include "common/fileproto/block_names.hpp"
#include "common/result.hpp"

namespace common::fileclient {

using fileproto::kContentBlock;
// 32 bytes of memory for each block: above this, contents are not checked as a whole.
inline constexpr std::uint64_t kMaxCheckedSize = std::uint64_t{64} << 30;

// The blocks of one file, in any order. Different blocks may be set by different threads.
class ContentBlocks {
 public:
  explicit ContentBlocks(std::uint64_t size)
      : size_(size), names_((size + kContentBlock - 1) / kContentBlock) {}

  // Whole blocks: `offset` is a multiple of kContentBlock, and so is the length unless it ends the
  // file.
  [[nodiscard]] Status add(std::uint64_t offset, ByteView bytes);

  // Where the last two blocks begin.
  [[nodiscard]] std::uint64_t end_begins() const;
  // Whether this is the content with that name; blocks that were not added are holes. `end`: the
  // bytes from end_begins() on, of which the server may keep some apart.
  [[nodiscard]] Result<bool> is(const fileproto::ContentName& name, ByteView end) const;

 private:
  std::uint64_t size_;
  std::vector<fileproto::ContentName> names_;
};

}  // namespace common::fileclient
