#include "vectors.hpp"

#include <fmt/format.h>

#include <fstream>

#include "tests/support/test.hpp"

std::vector<Vector> load_vectors(const std::string& file) {
  std::ifstream in(std::string(TROTH_VECTORS "/") + file);
  std::vector<Vector> all;
  Vector current;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line[0] == '#')
      continue;
    const std::size_t equals = line.find(" =");
    if (equals == std::string::npos) {
      if (!current.empty())
        all.push_back(std::move(current));
      current.clear();
      continue;
    }
    const std::string value = line.substr(equals + 2);
    current[line.substr(0, equals)] = value.empty() ? value : value.substr(1);
  }
  if (!current.empty())
    all.push_back(std::move(current));
  REQUIRE_FALSE(all.empty());
  return all;
}

common::Bytes from_hex(const std::string& hex) {
  REQUIRE(hex.size() % 2 == 0);
  common::Bytes bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string to_hex(common::ByteView bytes) {
  std::string hex;
  for (const std::byte b : bytes)
    hex += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return hex;
}
