#include "common/utf8.hpp"

namespace common {
namespace {

struct Lead {
  std::size_t length;  // 0: cannot begin a character
  char32_t bits;
  char32_t smallest;  // anything below was encoded overlong
};

Lead read_lead(unsigned char byte) {
  if (byte < 0x80)
    return {1, byte, 0};
  if (byte < 0xC2)
    return {0, 0, 0};
  if (byte < 0xE0)
    return {2, static_cast<char32_t>(byte & 0x1F), 0x80};
  if (byte < 0xF0)
    return {3, static_cast<char32_t>(byte & 0x0F), 0x800};
  if (byte < 0xF5)
    return {4, static_cast<char32_t>(byte & 0x07), 0x10000};
  return {0, 0, 0};
}

}  // namespace

Utf8Step decode_utf8(std::string_view text) {
  const Lead lead = read_lead(static_cast<unsigned char>(text.front()));
  if (lead.length == 0 || lead.length > text.size())
    return {};
  char32_t code_point = lead.bits;
  for (std::size_t i = 1; i < lead.length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80)
      return {};
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < lead.smallest || code_point > 0x10FFFF || surrogate)
    return {};
  return {code_point, lead.length, true};
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid)
      return false;
    text.remove_prefix(step.length);
  }
  return true;
}

bool is_control(char32_t code_point) {
  if (code_point < 0x20 || (code_point >= 0x7F && code_point <= 0x9F))
    return true;
  if (code_point >= 0x2028 && code_point <= 0x202E)
    return true;  // separators, bidi embeddings
  if (code_point >= 0x2066 && code_point <= 0x2069)
    return true;                                                                // bidi isolates
  return code_point == 0x200E || code_point == 0x200F || code_point == 0x061C;  // bidi marks
}

}  // namespace common
