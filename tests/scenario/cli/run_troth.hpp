#pragma once

// Runs the real `troth` for a test.

#include <string>
#include <vector>

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace scenario {

inline test_support::CommandResult troth(const std::vector<std::string>& arguments,
                                         test_support::ProcessOptions options = {}) {
  // No cell of the machine or its user takes part.
  options.without.emplace_back("TROTH_CELL");
  options.environment.emplace("HOME", "/nonexistent");
  options.environment.emplace("TROTH_RUNTIME_DIR", "/nonexistent");
  const auto program = test_support::find_program("troth");
  REQUIRE_OK(program);
  auto result = test_support::run_command(*program, arguments, options);
  REQUIRE_OK(result);
  return *std::move(result);
}

// One line on standard error, nothing on standard output, and that exit code.
inline void check_refused(const test_support::CommandResult& result, int code,
                          std::string_view part) {
  CHECK(result.status.code == code);
  CHECK(result.output.empty());
  INFO(result.error_output);
  CHECK(result.error_output.starts_with("troth: "));
  CHECK(result.error_output.find('\n') + 1 == result.error_output.size());
  CHECK(result.error_output.find(part) != std::string::npos);
}

}  // namespace scenario
