#include "common/wire/utf8.hpp"

#include <cstddef>

namespace common::wire {
namespace {

// What a lead byte promises: how many bytes follow, and the range that the first of them must be
// in. The narrowed ranges are what excludes overlong forms, surrogates and values over U+10FFFF
// (Unicode, table 3-7).
struct Sequence {
  unsigned following;
  unsigned low;
  unsigned high;
};

constexpr Sequence kInvalid{0, 1, 0};

constexpr Sequence sequence_of(unsigned lead) {
  if (lead >= 0xC2 && lead <= 0xDF)
    return {1, 0x80, 0xBF};
  if (lead == 0xE0)
    return {2, 0xA0, 0xBF};
  if (lead == 0xED)
    return {2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF)
    return {2, 0x80, 0xBF};
  if (lead == 0xF0)
    return {3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3)
    return {3, 0x80, 0xBF};
  if (lead == 0xF4)
    return {3, 0x80, 0x8F};
  return kInvalid;
}

}  // namespace

bool is_utf8(std::string_view text) {
  const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    if (byte_at(i) < 0x80) {
      ++i;
      continue;
    }
    const Sequence expected = sequence_of(byte_at(i));
    if (expected.following == 0 || text.size() - i <= expected.following)
      return false;
    if (byte_at(i + 1) < expected.low || byte_at(i + 1) > expected.high)
      return false;
    for (std::size_t k = 2; k <= expected.following; ++k) {
      if (byte_at(i + k) < 0x80 || byte_at(i + k) > 0xBF)
        return false;
    }
    i += expected.following + 1;
  }
  return true;
}

}  // namespace common::wire
