#pragma once

// Bytes on the wire that may not change without a decision: each lies in a file of its own.

#include <string>
#include <string_view>

// Fails the test case unless `actual` is exactly what tests/wire/golden/<file> holds. With
// TROTH_UPDATE_GOLDEN=1 in the environment the file is written instead: look at the difference
// before committing it.
void check_golden(const std::string& file, std::string_view actual);

// The file's content, for decoding it.
std::string read_golden(const std::string& file);
