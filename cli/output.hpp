#pragma once

// What a person sees: colours only on a terminal, one line for a failure.

#include <string>
#include <string_view>

#include "common/result.hpp"

namespace cli {

enum class Colour { Good, Warning, Bad };

// Text for standard output, coloured if that is a terminal that wants it (NO_COLOR is not set,
// TERM is not "dumb").
std::string coloured(std::string_view text, Colour colour);

// Writes to standard output. Control characters in `text` other than newlines are replaced: it may
// hold what a server or a file said.
void print(std::string_view text);

// "troth: message" on standard error, likewise made harmless.
void print_error(std::string_view message);

// "3 d 4 h", "5 min", "12 s"
std::string duration_text(std::uint64_t seconds);

}  // namespace cli
