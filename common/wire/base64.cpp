#include "common/wire/base64.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace common::wire {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t kNone = 64;
using Table = std::array<std::uint8_t, 256>;

constexpr Table table_of(std::string_view alphabet) {
  Table table{};
  table.fill(kNone);
  for (std::uint8_t i = 0; i < 64; ++i)
    table[static_cast<unsigned char>(alphabet[i])] = i;
  return table;
}
constexpr Table kStandardTable = table_of(kStandard);
constexpr Table kUrlTable = table_of(kUrl);

std::string encode(ByteView bytes, std::string_view alphabet, bool pad) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < here ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      if (k <= here) {
        text += alphabet[group >> (18 - 6 * k) & 63];
      } else if (pad) {
        text += '=';
      }
    }
  }
  return text;
}

// `text` without padding.
Result<Bytes> decode(std::string_view text, const Table& table) {
  if (text.size() % 4 == 1)
    return fail(ErrorCode::Protocol, "base64 is cut off");
  Bytes bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  unsigned count = 0;  // of valid low bits in `bits`, below 8 between rounds
  for (const char c : text) {
    const std::uint8_t value = table[static_cast<unsigned char>(c)];
    if (value == kNone)
      return fail(ErrorCode::Protocol, "a character that is not base64");
    bits = (bits << 6 | value) & 0x3FFF;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> count & 0xFF));
    }
  }
  if ((bits & ((1U << count) - 1)) != 0) {
    return fail(ErrorCode::Protocol, "base64 with unused bits that are not zero");
  }
  return bytes;
}

}  // namespace

std::string to_base64(ByteView bytes) {
  return encode(bytes, kStandard, true);
}
std::string to_base64url(ByteView bytes) {
  return encode(bytes, kUrl, false);
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0)
    return fail(ErrorCode::Protocol, "base64 is not padded to fours");
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
    ++padding;
  return decode(text.substr(0, text.size() - padding), kStandardTable);
}

Result<Bytes> from_base64url(std::string_view text) {
  return decode(text, kUrlTable);
}

}  // namespace common::wire
