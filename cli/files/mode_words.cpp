#include "cli/files/mode_words.hpp"

#include <algorithm>

#include "cli/output.hpp"

namespace cli {

using common::Result;

namespace {

constexpr std::uint32_t kExecuteBits = 0111;

common::Error no_mode(std::string_view text) {
  return common::fail(common::ErrorCode::InvalidArgument,
                      "\"{}\" is no mode; expected octal digits, as in 0755, or changes, as in "
                      "u+x,go-w",
                      said(text))
      .value();
}

Result<std::uint32_t> octal_mode(std::string_view text) {
  constexpr std::size_t kMostDigits = 4;
  std::uint32_t mode = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || text.size() > kMostDigits)
      return tl::unexpected(no_mode(text));
    mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
  }
  return mode;
}

// The bits that belong to these classes, set-id and sticky included.
std::uint32_t bits_of_classes(std::string_view classes) {
  if (classes.empty() || classes.find('a') != std::string_view::npos)
    return 07777;
  std::uint32_t bits = 0;
  for (const char c : classes)
    bits |= c == 'u' ? 04700U : c == 'g' ? 02070U : 01007U;
  return bits;
}

// "u+x": one of the changes between commas.
Result<std::uint32_t> one_change(std::string_view whole, std::string_view change,
                                 std::uint32_t mode, bool is_directory) {
  const std::size_t sign = std::min(change.find_first_not_of("ugoa"), change.size());
  const std::string_view classes = change.substr(0, sign);
  if (sign == change.size() || std::string_view("+-=").find(change[sign]) == std::string_view::npos)
    return tl::unexpected(no_mode(whole));
  std::uint32_t bits = 0;
  for (const char c : change.substr(sign + 1)) {
    switch (c) {
      case 'r':
        bits |= 0444;
        break;
      case 'w':
        bits |= 0222;
        break;
      case 'x':
        bits |= kExecuteBits;
        break;
      case 'X':
        bits |= is_directory || (mode & kExecuteBits) != 0 ? kExecuteBits : 0;
        break;
      case 's':
        bits |= 06000;
        break;
      case 't':
        bits |= 01000;
        break;
      default:
        return tl::unexpected(no_mode(whole));
    }
  }
  const std::uint32_t mask = bits_of_classes(classes);
  switch (change[sign]) {
    case '+':
      return mode | (bits & mask);
    case '-':
      return mode & ~(bits & mask);
    default:
      // Set-id bits of a directory stay unless they are named, as chmod(1) has it.
      return (mode & ~(is_directory ? mask & ~06000U : mask)) | (bits & mask);
  }
}

}  // namespace

Result<std::uint32_t> changed_mode(std::string_view text, std::uint32_t present,
                                   bool is_directory) {
  if (text.empty())
    return tl::unexpected(no_mode(text));
  if (text[0] >= '0' && text[0] <= '9')
    return octal_mode(text);
  std::uint32_t mode = present;
  for (std::string_view rest = text;;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    TROTH_TRY(mode, one_change(text, rest.substr(0, comma), mode, is_directory));
    if (comma == rest.size())
      return mode;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace cli
