#pragma once

// What the targets of common/fileproto share.

#include <algorithm>

#include "common/result.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace fuzz {

// What decodes encodes back to the very bytes that it came from.
template <typename Decode, typename Encode>
int one_form(const std::uint8_t* data, std::size_t size, Decode decode, Encode encode) {
  const common::ByteView input = bytes(data, size);
  if (const auto message = decode(input))
    require(std::ranges::equal(encode(*message), input), "one form");
  return 0;
}

}  // namespace fuzz
