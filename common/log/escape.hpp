#pragma once

// How text from anywhere becomes part of one line that a person or a program reads: of the log, or
// of a message that quotes what somebody wrote. Pure functions.

#include <cstddef>
#include <string>
#include <string_view>

namespace common::log {

enum class Quoting : unsigned char {
  Bare,    // a sentence: no quotes needed
  Quoted,  // between double quotes, which are escaped inside
  Json,    // between double quotes, with escapes that every JSON parser reads
};

// Appends `text` so that it stays one line of valid UTF-8: control characters become escapes,
// invalid bytes become \xNN, a backslash is doubled (so nobody can write an escape by hand).
// At most `budget` bytes are appended; false means that the rest did not fit.
bool append_escaped(std::string& out, std::string_view text, Quoting quoting, std::size_t budget);

// Whether a value can stand in a text line as it is: not empty, no space, quote, '=' or escape.
bool is_plain_word(std::string_view text);

// Whether `text` is a JSON number or true or false; everything else must be a JSON string.
bool is_json_scalar(std::string_view text);

}  // namespace common::log
