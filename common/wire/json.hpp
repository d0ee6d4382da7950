#pragma once

// JSON text to and from nlohmann's values, bounded. Used by the .cpp files of codecs only: a JSON
// value never leaves the codec that decoded it.

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/result.hpp"

namespace common::wire {

// Checked while the text is read, before memory is spent on what breaks them.
struct JsonLimits {
  std::size_t bytes = std::size_t{1} << 20;       // the whole text
  std::size_t depth = 16;                         // our messages nest 4 deep at most
  std::size_t values = 100'000;                   // objects, lists, scalars, all counted
  std::size_t text_bytes = std::size_t{1} << 20;  // of one string, after unescaping
};

// The value, or Protocol with the byte where the text goes wrong, TooLarge if a limit is reached,
// ResourceExhausted if memory is short.
// Duplicate keys are refused: two readers could take different ones. Never throws.
Result<nlohmann::json> parse_json(std::string_view text, const JsonLimits& limits = {});

// One line, keys sorted, so equal values give equal text. `ascii_only` escapes all else. Fails with
// InvalidArgument if a string is not UTF-8 (use encode_name for those).
Result<std::string> dump_json(const nlohmann::json& value, bool ascii_only = false);

}  // namespace common::wire
