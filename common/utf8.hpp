#pragma once

// UTF-8 as RFC 3629 has it: no surrogates, nothing beyond U+10FFFF, no overlong forms.

#include <cstddef>
#include <string_view>

namespace common {

struct Utf8Step {
  char32_t code_point = 0;  // meaningful only when valid
  std::size_t length = 1;   // bytes consumed: 1 to 4; 1 when not valid
  bool valid = false;
};

// The first character of `text`, which must not be empty.
Utf8Step decode_utf8(std::string_view text);

bool is_valid_utf8(std::string_view text);

// Whether showing this character could end a line, move the cursor, or reorder what stands beside
// it: C0 and C1 controls, DEL, the line and paragraph separators and the bidirectional controls.
bool is_control(char32_t code_point);

}  // namespace common
