#include "tests/support/history/content.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "tests/support/history/record.hpp"

namespace history {

namespace {

// 20 digits of a value, a space, 6 digits of a length, a space; at the end a space, 16 digits of a
// digest, the newline.
constexpr std::size_t kTail = 18;

template <typename Number>
bool parse_digits(std::string_view text, Number& number, int base = 10) {
  const auto done = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return done.ec == std::errc() && done.ptr == text.data() + text.size();
}

}  // namespace

std::string make_record(std::uint64_t value, std::size_t length) {
  length = std::clamp(length, kLeastRecord, kLongestRecord);
  std::string record = fmt::format("{:020} {:06} ", value, length);
  // Letters that depend on the value: records of two writers differ everywhere.
  std::uint64_t next = value;
  while (record.size() < length - kTail) {
    next = next * 6364136223846793005ULL + 1442695040888963407ULL;
    record.push_back(static_cast<char>('a' + (next >> 33) % 26));
  }
  return record + fmt::format(" {:016x}\n", digest_of(record));
}

std::optional<ParsedRecord> parse_record(std::string_view bytes) {
  ParsedRecord record;
  if (bytes.size() < kLeastRecord || !parse_digits(bytes.substr(0, 20), record.value) ||
      !parse_digits(bytes.substr(21, 6), record.length) || record.length < kLeastRecord ||
      record.length > bytes.size())
    return std::nullopt;
  if (bytes.substr(0, record.length) != make_record(record.value, record.length))
    return std::nullopt;
  return record;
}

std::size_t first_torn(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto record = parse_record(bytes.substr(at));
    if (!record)
      return at;
    at += record->length;
  }
  return std::string_view::npos;
}

std::optional<std::uint64_t> parse_whole(std::string_view bytes) {
  if (bytes.empty())
    return 0;
  const auto record = parse_record(bytes);
  if (!record || record->length != bytes.size())
    return std::nullopt;
  return record->value;
}

}  // namespace history
