#include "common/io/boot_id.hpp"

#include <fmt/format.h>

#include <fstream>

#include "tests/support/test.hpp"

TEST_CASE("a boot is named as the kernel names it") {
  const auto boot = common::io::current_boot();
  REQUIRE_OK(boot);
  std::string digits;
  for (const std::byte b : *boot)
    digits += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  std::string said;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id") >> std::ws, said);
  std::erase(said, '-');
  CHECK(digits == said);
  CHECK(*boot == *common::io::current_boot());
}
