#include "common/config/values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace common::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, so that formatting finds the largest that divides.
constexpr std::array kDurationUnits{Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                    Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits{Unit{"TiB", 1ULL << 40},
                                Unit{"TB", 1'000'000'000'000},
                                Unit{"GiB", 1ULL << 30},
                                Unit{"GB", 1'000'000'000},
                                Unit{"MiB", 1ULL << 20},
                                Unit{"MB", 1'000'000},
                                Unit{"KiB", 1ULL << 10},
                                Unit{"kB", 1'000},
                                Unit{"B", 1}};

// Durations and sizes stay within what fits a signed 64-bit number, so nobody has to think about
// signs when adding a few of them; a factor of 16 is left for sums.
constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max() / 16;

Result<std::uint64_t> parse_with_unit(std::string_view text, const Unit* begin, const Unit* end,
                                      std::string_view expected) {
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const Unit* found = std::find_if(begin, end, [&](const Unit& u) { return u.name == unit; });
  if (error != std::errc() || found == end) {
    return fail(ErrorCode::InvalidArgument, "expected {}", expected);
  }
  if (number > kLargest / found->factor) {
    return fail(ErrorCode::InvalidArgument, "the number is too large");
  }
  return number * found->factor;
}

std::string format_with_unit(std::uint64_t value, const Unit* begin, const Unit* end,
                             std::string_view skip_decimal) {
  for (const Unit* unit = begin; unit != end; ++unit) {
    const bool decimal = skip_decimal == "B" && unit->factor % 1000 == 0;
    if (!decimal && value != 0 && value % unit->factor == 0) {
      return fmt::format("{}{}", value / unit->factor, unit->name);
    }
  }
  return fmt::format("{}{}", value, (end - 1)->name);
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_address6_character(char c) {
  return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == '.' ||
         c == ':' || c == '%';
}

// Longest name that DNS allows.
constexpr std::size_t kMaxHost = 253;

// Letters to change, swap with a neighbour, add or leave out to get from `a` to `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({change, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped)
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

// Longer words are not typing slips of ours, and comparing costs their product.
constexpr std::size_t kMaxWord = 64;

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  TROTH_TRY(const std::uint64_t value,
            parse_with_unit(text, kDurationUnits.begin(), kDurationUnits.end(),
                            "a duration with its unit, such as 500ms, 30s, 5m, 2h or 7d"));
  return std::chrono::milliseconds(static_cast<std::int64_t>(value));
}

std::string format_duration(std::chrono::milliseconds duration) {
  return format_with_unit(static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0)),
                          kDurationUnits.begin(), kDurationUnits.end(), "");
}

Result<std::uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizeUnits.begin(), kSizeUnits.end(),
                         "a size with its unit, such as 512B, 64KiB, 10MiB or 2GiB");
}

std::string format_size(std::uint64_t bytes) {
  return format_with_unit(bytes, kSizeUnits.begin(), kSizeUnits.end(), "B");
}

Result<Endpoint> parse_endpoint(std::string_view text, PortZero zero) {
  const auto bad = [] {
    return fail(ErrorCode::InvalidArgument,
                "expected an address and a port up to 65535, such as 127.0.0.1:7480, [::1]:7480 "
                "or name.example.org:7480");
  };
  const bool bracketed = text.starts_with('[');
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return bad();
  std::string_view host = text.substr(0, colon);
  if (bracketed) {
    if (host.size() < 4 || !host.ends_with(']'))
      return bad();
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos)
      return bad();
  }
  const auto allowed = bracketed ? is_address6_character : is_host_character;
  if (host.empty() || host.size() > kMaxHost || !std::all_of(host.begin(), host.end(), allowed)) {
    return bad();
  }
  const std::string_view port_text = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [rest, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  const bool refused = port == 0 && zero == PortZero::Refused;
  if (error != std::errc() || rest != port_text.data() + port_text.size() || refused)
    return bad();
  return Endpoint{std::string(host), port};
}

std::string format_endpoint(const Endpoint& endpoint) {
  const bool six = endpoint.host.find(':') != std::string::npos;
  return six ? fmt::format("[{}]:{}", endpoint.host, endpoint.port)
             : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

Result<std::int64_t> parse_integer(std::string_view text) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_';
    if (text[i] == '_' && between)
      continue;
    digits += text[i];
  }
  std::int64_t value = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || rest != digits.data() + digits.size()) {
    return fail(ErrorCode::InvalidArgument, "expected a whole number");
  }
  return value;
}

std::string closest_word(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() > kMaxWord)
    return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace common::config
