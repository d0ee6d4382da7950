#include "common/log/escape.hpp"

#include <fmt/format.h>

#include "common/utf8.hpp"

namespace common::log {
namespace {

std::string escaped_control(char32_t code_point, Quoting quoting) {
  switch (code_point) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  if (quoting == Quoting::Json || code_point > 0xFF) {
    return fmt::format("\\u{:04x}", static_cast<unsigned>(code_point));
  }
  // C1 controls are two bytes of UTF-8: named as a character, not as a byte.
  if (code_point > 0x7F)
    return fmt::format("\\u{:04x}", static_cast<unsigned>(code_point));
  return fmt::format("\\x{:02x}", static_cast<unsigned>(code_point));
}

// What one character, or one invalid byte, becomes.
std::string escaped(std::string_view piece, const Utf8Step& step, Quoting quoting) {
  if (!step.valid) {
    const auto byte = static_cast<unsigned char>(piece.front());
    return fmt::format("{}x{:02x}", quoting == Quoting::Json ? "\\\\" : "\\", byte);
  }
  if (is_control(step.code_point))
    return escaped_control(step.code_point, quoting);
  if (step.code_point == '\\')
    return "\\\\";
  if (step.code_point == '"' && quoting != Quoting::Bare)
    return "\\\"";
  return std::string(piece);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::size_t count_digits(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && is_digit(text[n]))
    ++n;
  return n;
}

}  // namespace

bool append_escaped(std::string& out, std::string_view text, Quoting quoting, std::size_t budget) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    const std::string piece = escaped(text.substr(0, step.length), step, quoting);
    if (piece.size() > budget)
      return false;
    out += piece;
    budget -= piece.size();
    text.remove_prefix(step.length);
  }
  return true;
}

bool is_plain_word(std::string_view text) {
  if (text.empty())
    return false;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid || is_control(step.code_point))
      return false;
    const char32_t c = step.code_point;
    if (c == ' ' || c == '"' || c == '=' || c == '\\' || c == 0xA0)
      return false;
    text.remove_prefix(step.length);
  }
  return true;
}

bool is_json_scalar(std::string_view text) {
  if (text == "true" || text == "false")
    return true;
  if (text.starts_with('-'))
    text.remove_prefix(1);
  const std::size_t whole = count_digits(text);
  if (whole == 0 || (whole > 1 && text.front() == '0'))
    return false;
  text.remove_prefix(whole);
  if (text.starts_with('.')) {
    const std::size_t fraction = count_digits(text.substr(1));
    if (fraction == 0)
      return false;
    text.remove_prefix(fraction + 1);
  }
  return text.empty();
}

}  // namespace common::log
