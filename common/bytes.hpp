#pragma once

// Bytes are std::byte, text is char; these are the only conversions between the two.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace common {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// The same memory seen the other way; valid as long as the argument's memory is.
inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace common
