#pragma once

// Bytes on the wire that may not change without a decision: each lies in a file of its own.

#include <string>
#include <string_view>

#include "common/wire/hex.hpp"

// Fails the test case unless `actual` is exactly what tests/wire/golden/<file> holds. With
// TROTH_UPDATE_GOLDEN=1 in the environment the file is written instead: look at the difference
// before committing it.
void check_golden(const std::string& file, std::string_view actual);

// The file's content, for decoding it.
std::string read_golden(const std::string& file);

// What check_golden() pins, in hexadecimal digits, and back from its file.
inline common::Bytes golden(const std::string& file, const common::Bytes& bytes) {
  check_golden(file, common::wire::to_hex(bytes) + "\n");
  const std::string text = read_golden(file);
  return common::wire::from_hex(text.substr(0, text.size() - 1)).value();
}
