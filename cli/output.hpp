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

// What somebody else said (a server, a mount, a certificate), on its way into our output: one line
// that cannot pretend to be ours. Control characters are shown as escapes, and what is longer than
// `most` bytes is cut off.
std::string said(std::string_view text, std::size_t most = 200);
// The same for reasons, which are sentences.
inline constexpr std::size_t kMaxReason = 500;

// Writes to standard output. Control characters in `text` other than newlines are replaced, for
// what did not come through said().
void print(std::string_view text);

// "troth: message" on standard error, on one line, made harmless and not longer than a screen.
void print_error(std::string_view message);

// "3 d 4 h", "5 min", "12 s"
std::string duration_text(std::uint64_t seconds);

}  // namespace cli
