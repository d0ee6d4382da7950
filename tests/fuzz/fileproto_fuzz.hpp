#pragma once

// What the targets of common/fileproto share.

#include <algorithm>

#include "common/bytes.hpp"
#include "common/result.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace fuzz {

inline common::ByteView bytes(const std::uint8_t* data, std::size_t size) {
  return common::as_bytes(text(data, size));
}

// What decodes encodes back to the very bytes that it came from.
template <typename Decode, typename Encode>
int one_form(const std::uint8_t* data, std::size_t size, Decode decode, Encode encode) {
  const common::ByteView input = bytes(data, size);
  if (const auto message = decode(input))
    require(std::ranges::equal(encode(*message), input), "one form");
  return 0;
}

}  // namespace fuzz
