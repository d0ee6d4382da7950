#pragma once

// Values with units, as people write them in configuration files. Pure functions; each refuses what
// it does not understand completely, and a failure says what was expected.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::config {

// "500ms", "30s", "5m", "2h", "7d". A bare number is refused: nobody knows its unit.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// The same in the largest unit that says it exactly.
std::string format_duration(std::chrono::milliseconds duration);

// "512B", "64KiB", "1MiB", "10GiB", "2TiB", and the decimal kB, MB, GB, TB.
Result<std::uint64_t> parse_size(std::string_view text);
std::string format_size(std::uint64_t bytes);

// Where to listen or connect: "127.0.0.1:7480", "[::1]:7480", "kdc.example.org:7480".
struct Endpoint {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
// Port 0 means "any free one", which makes sense only for listening.
enum class PortZero : std::uint8_t { Refused, Allowed };
Result<Endpoint> parse_endpoint(std::string_view text, PortZero zero = PortZero::Refused);
std::string format_endpoint(const Endpoint& endpoint);

// A whole decimal number, with an optional sign and TOML's underscores between digits.
Result<std::int64_t> parse_integer(std::string_view text);

// The candidate that `word` was probably meant to be: at most a third of its letters changed,
// swapped, missing or too many. Empty if there is none.
std::string closest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace common::config
