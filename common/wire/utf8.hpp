#pragma once

#include <string_view>

namespace common::wire {

// Whether `text` is UTF-8 in the strict sense: no overlong forms, no surrogates, nothing above
// U+10FFFF, nothing cut off. NUL is a character like any other.
bool is_utf8(std::string_view text);

}  // namespace common::wire
