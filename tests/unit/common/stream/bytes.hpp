#pragma once

// Short-hand for byte strings in the stream tests.

#include <string>
#include <string_view>

#include "common/stream/frame.hpp"

namespace stream_test {

inline common::stream::Bytes bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return {view.begin(), view.end()};
}

inline std::string text(common::stream::BytesView view) {
  return {reinterpret_cast<const char*>(view.data()), view.size()};
}

inline common::stream::Bytes operator+(common::stream::Bytes a, const common::stream::Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A header that claims `length` bytes of `type`, whatever follows.
inline common::stream::Bytes header(std::uint32_t length, std::uint8_t type) {
  common::stream::Bytes out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::byte>((length >> shift) & 0xFF));
  }
  out.push_back(static_cast<std::byte>(type));
  return out;
}

}  // namespace stream_test
