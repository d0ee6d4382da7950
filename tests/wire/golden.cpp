#include "golden.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/support/test.hpp"

std::string read_golden(const std::string& file) {
  std::ifstream in(std::string(TROTH_GOLDEN "/") + file, std::ios::binary);
  REQUIRE_MESSAGE(in.good(), "tests/wire/golden/" << file << " is missing");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void check_golden(const std::string& file, std::string_view actual) {
  const char* update = std::getenv("TROTH_UPDATE_GOLDEN");
  if (update != nullptr && std::string_view(update) == "1") {
    std::ofstream out(std::string(TROTH_GOLDEN "/") + file, std::ios::binary);
    out << actual;
    REQUIRE(out.good());
    return;
  }
  INFO("tests/wire/golden/" << file);
  CHECK(read_golden(file) == actual);
}
