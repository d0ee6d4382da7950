#include "common/cell/locate.hpp"

#include <filesystem>
#include <map>
#include <utility>

#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::cell;

namespace {
GetVariable variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? std::string() : found->second;
  };
}
}  // namespace

TEST_CASE("what was asked for wins, then the variable") {
  CHECK(find_cell("x", variables({{"TROTH_CELL", "y"}})).value() == "x");
  CHECK(find_cell("", variables({{"TROTH_CELL", "y"}})).value() == "y");
}

TEST_CASE("a cell is found in the user's own configuration") {
  if (std::filesystem::exists("/etc/troth/cell.toml"))
    SKIP_TEST("this machine has a cell in /etc/troth");
  const test_support::TempDir home;
  const auto environment = variables({{"HOME", home.path().string()}});
  const auto missing = find_cell("", environment);
  CHECK_FAILS(missing, ErrorCode::NotFound);
  CHECK(missing.error().message.find(home.path().string() + "/.config/troth") != std::string::npos);
  std::filesystem::create_directories(home / ".config/troth");
  CHECK_FAILS(find_cell("", environment), ErrorCode::NotFound);
  REQUIRE_OK(test_support::write_file(home / ".config/troth/cell.toml", ""));
  CHECK(find_cell("", environment).value() == home.path().string() + "/.config/troth");
  CHECK_FAILS(find_cell("", variables({{"HOME", home.path().string()}, {"XDG_CONFIG_HOME", "/x"}})),
              ErrorCode::NotFound);
}
