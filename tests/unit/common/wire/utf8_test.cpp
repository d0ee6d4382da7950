#include "common/utf8.hpp"

#include <string>

#include "tests/support/test.hpp"

using common::is_valid_utf8;
using std::string_view_literals::operator""sv;

TEST_CASE("text of every length of character is UTF-8") {
  for (const auto text : {""sv, "a"sv, "\0"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv,
                          "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv, "\xEE\x80\x80"sv, "\xEF\xBF\xBF"sv,
                          "\xF0\x90\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv, "gr\xC3\xBC\xC3\x9F"sv}) {
    CHECK(is_valid_utf8(text));
  }
}

TEST_CASE("what only looks like UTF-8 is refused") {
  for (const auto text : {
           "\x80"sv,
           "\xBF"sv,
           "a\x80"sv,  // continuation without a lead
           "\xC0\x80"sv,
           "\xC1\xBF"sv,  // overlong in two
           "\xE0\x80\x80"sv,
           "\xE0\x9F\xBF"sv,  // overlong in three
           "\xF0\x80\x80\x80"sv,
           "\xF0\x8F\xBF\xBF"sv,  // overlong in four
           "\xED\xA0\x80"sv,
           "\xED\xBF\xBF"sv,  // surrogates
           "\xF4\x90\x80\x80"sv,
           "\xF5\x80\x80\x80"sv,
           "\xFF"sv,
           "\xFE"sv,
           "\xC2"sv,
           "\xE1\x80"sv,
           "\xF1\x80\x80"sv,  // cut off
           "\xC2g"sv,
           "\xE1\x80g"sv,
           "\xF1\x80\x80g"sv,
           "\xE1g\x80"sv,
       }) {
    CHECK_FALSE(is_valid_utf8(text));
  }
}

// An independent reading of the definition: decode, then look at the value.
static bool is_utf8_by_value(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t size = lead < 0x80   ? 1
                             : lead < 0xC0 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF8 ? 4
                                           : 0;
    if (size == 0 || i + size > text.size())
      return false;
    unsigned value = size == 1 ? lead : lead & (0xFFU >> (size + 1));
    for (std::size_t k = 1; k < size; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0U) != 0x80U)
        return false;
      value = value << 6 | (next & 0x3FU);
    }
    constexpr unsigned kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < kLeast[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return false;
    }
    i += size;
  }
  return true;
}

TEST_CASE("all strings of three bytes are judged as the definition says") {
  std::string text(3, '\0');
  std::size_t differing = 0;
  for (unsigned value = 0; value < 1U << 24; value += 1) {
    // Bytes below 0x70 behave alike: one of them in each place is enough.
    if ((value >> 16) < 0x70 && (value >> 16) != 0)
      continue;
    if ((value >> 8 & 0xFF) < 0x70 && (value >> 8 & 0xFF) != 0)
      continue;
    if ((value & 0xFF) < 0x70 && (value & 0xFF) != 0)
      continue;
    text[0] = static_cast<char>(value >> 16);
    text[1] = static_cast<char>(value >> 8 & 0xFF);
    text[2] = static_cast<char>(value & 0xFF);
    if (is_valid_utf8(text) != is_utf8_by_value(text))
      ++differing;
  }
  CHECK(differing == 0);
}
