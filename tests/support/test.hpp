#pragma once

// What every doctest file includes: doctest, a printer for Result, and checks that show the error.

#include <doctest/doctest.h>

#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace test_support {

// What the checks below keep of a result. They keep a copy and never the result itself, which may
// be part of a temporary, as in CHECK_OK(examine(path)->verdict).
struct Outcome {
  std::optional<common::Error> error;

  [[nodiscard]] bool ok() const { return !error; }
  [[nodiscard]] bool failed_with(common::ErrorCode code) const {
    return error && error->code == code;
  }
  // The error's code and sentence, or "ok".
  [[nodiscard]] std::string text() const {
    return error ? std::string(common::to_string(error->code)) + ": " + error->message : "ok";
  }
};

template <typename T>
Outcome outcome_of(const common::Result<T>& result) {
  if (result)
    return {};
  return {result.error()};
}

template <typename T>
bool failed_with(const common::Result<T>& result, common::ErrorCode code) {
  return outcome_of(result).failed_with(code);
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
#define CHECK_OK(expression)                                                               \
  do {                                                                                     \
    const test_support::Outcome check_ok_outcome = test_support::outcome_of((expression)); \
    CHECK_MESSAGE(check_ok_outcome.ok(), check_ok_outcome.text());                         \
  } while (false)
#define REQUIRE_OK(expression)                                                               \
  do {                                                                                       \
    const test_support::Outcome require_ok_outcome = test_support::outcome_of((expression)); \
    REQUIRE_MESSAGE(require_ok_outcome.ok(), require_ok_outcome.text());                     \
  } while (false)
#define CHECK_FAILS(expression, expected_code)                                                   \
  do {                                                                                           \
    const test_support::Outcome check_fails_outcome = test_support::outcome_of((expression));    \
    CHECK_MESSAGE(check_fails_outcome.failed_with((expected_code)), check_fails_outcome.text()); \
  } while (false)

// Leaves the test case as skipped. The runner counts these; a skip without a reason cannot be
// written.
#define SKIP_TEST(reason)                          \
  do {                                             \
    test_support::report_skip(__FILE__, (reason)); \
    return;                                        \
  } while (false)
