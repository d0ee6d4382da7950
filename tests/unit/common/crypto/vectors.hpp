#pragma once

// Published test vectors, kept as data: blocks of `name = value` lines between empty lines.

#include <map>
#include <string>
#include <vector>

#include "common/bytes.hpp"

using Vector = std::map<std::string, std::string>;

// All blocks of vectors/<file>; never empty (a missing file fails the test case).
std::vector<Vector> load_vectors(const std::string& file);

common::Bytes from_hex(const std::string& hex);
std::string to_hex(common::ByteView bytes);
