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

// Counts as an assertion of doctest's. A failure is reported at that line with what `outcome` says,
// and if `required` ends the test case.
void report_check(bool passed, const Outcome& outcome, bool required, const char* file, int line,
                  const char* what);

// What SKIP_TEST does before it leaves: prints `SKIPPED: file: reason`, tells the runner.
void report_skip(const char* file, std::string_view reason);

}  // namespace test_support

namespace common {
inline std::ostream& operator<<(std::ostream& out, ErrorCode code) {
  return out << to_string(code);
}
}  // namespace common

// The expression is evaluated once; a failure shows the error's code and sentence. Functions and
// not doctest's macros with a message, which make classes of each use: compiling those took a sixth
// of the time of a test.
#define CHECK_OUTCOME(expression, passes, required, what)                                     \
  do {                                                                                        \
    const test_support::Outcome checked_outcome = test_support::outcome_of((expression));     \
    test_support::report_check(checked_outcome.passes, checked_outcome, (required), __FILE__, \
                               __LINE__, what "( " #expression " )");                         \
  } while (false)
#define CHECK_OK(expression) CHECK_OUTCOME(expression, ok(), false, "CHECK_OK")
#define REQUIRE_OK(expression) CHECK_OUTCOME(expression, ok(), true, "REQUIRE_OK")
#define CHECK_FAILS(expression, expected_code) \
  CHECK_OUTCOME(expression, failed_with((expected_code)), false, "CHECK_FAILS")

// Leaves the test case as skipped. The runner counts these; a skip without a reason cannot be
// written.
#define SKIP_TEST(reason)                          \
  do {                                             \
    test_support::report_skip(__FILE__, (reason)); \
    return;                                        \
  } while (false)
