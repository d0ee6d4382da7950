#pragma once

// What every doctest file includes: doctest, a printer for Result, and checks that show the error.

#include <doctest/doctest.h>

#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace test_support {

// Text shown when a CHECK_OK fails: the error, or "ok".
template <typename T>
std::string describe(const common::Result<T>& result) {
  if (result)
    return "ok";
  return std::string(common::to_string(result.error().code)) + ": " + result.error().message;
}

template <typename T>
bool failed_with(const common::Result<T>& result, common::ErrorCode code) {
  return !result && result.error().code == code;
}

// What SKIP_TEST does before it leaves: prints `SKIPPED: file: reason`, tells the runner.
void report_skip(const char* file, std::string_view reason);

}  // namespace test_support

namespace common {
inline std::ostream& operator<<(std::ostream& out, ErrorCode code) {
  return out << to_string(code);
}
}  // namespace common

// The expression is evaluated once; a failure shows the error's code and sentence.
#define CHECK_OK(expression)                                                             \
  do {                                                                                   \
    const auto& check_ok_result = (expression);                                          \
    CHECK_MESSAGE(check_ok_result.has_value(), test_support::describe(check_ok_result)); \
  } while (false)
#define REQUIRE_OK(expression)                                                             \
  do {                                                                                     \
    const auto& check_ok_result = (expression);                                            \
    REQUIRE_MESSAGE(check_ok_result.has_value(), test_support::describe(check_ok_result)); \
  } while (false)
#define CHECK_FAILS(expression, expected_code)                                    \
  do {                                                                            \
    const auto& check_fails_result = (expression);                                \
    CHECK_MESSAGE(test_support::failed_with(check_fails_result, (expected_code)), \
                  test_support::describe(check_fails_result));                    \
  } while (false)

// Leaves the test case as skipped. The runner counts these; a skip without a reason cannot be
// written.
#define SKIP_TEST(reason)                          \
  do {                                             \
    test_support::report_skip(__FILE__, (reason)); \
    return;                                        \
  } while (false)
