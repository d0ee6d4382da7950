#pragma once

// Bytes that say who wrote them: what clients store as a whole file, and what they append. Any
// other bytes are a mixture, or a part.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace history {

inline constexpr std::size_t kLeastRecord = 64;
inline constexpr std::size_t kLongestRecord = 999'999;

// "<value> <length> <filler> <digest>\n" of exactly `length` bytes; the filler depends on the
// value.
[[nodiscard]] std::string make_record(std::uint64_t value, std::size_t length);

struct ParsedRecord {
  std::uint64_t value = 0;
  std::size_t length = 0;
};
// The whole record that `bytes` begin with; nullopt if they do not.
[[nodiscard]] std::optional<ParsedRecord> parse_record(std::string_view bytes);
// Where the first byte is that belongs to no whole record; npos: nowhere.
[[nodiscard]] std::size_t first_torn(std::string_view bytes);
// The value of a file that is one record, or 0 of an empty one; nullopt: it is neither.
[[nodiscard]] std::optional<std::uint64_t> parse_whole(std::string_view bytes);

}  // namespace history
