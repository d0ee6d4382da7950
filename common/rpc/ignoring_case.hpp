#pragma once

// Names in heads are compared without regard to the case of ASCII letters (RFC 9110, 5.1).

#include <algorithm>
#include <string_view>

namespace common::rpc {

constexpr char lower_ascii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

inline bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower_ascii(x) == lower_ascii(y); });
}

}  // namespace common::rpc
