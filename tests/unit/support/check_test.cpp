#include <memory>

#include "tests/support/test.hpp"

namespace {

// Leaves a failure behind in its memory, so that who looks at it too late does not find success.
struct Report {
  common::Status verdict;
  std::unique_ptr<int> cannot_be_copied;
  ~Report() { verdict = common::fail(common::ErrorCode::Internal, "looked at after its end"); }

  explicit Report(common::Status said) : verdict(std::move(said)) {}
  Report(Report&&) = default;
};

common::Result<Report> examine(bool good) {
  if (good)
    return Report({});
  return Report(common::fail(common::ErrorCode::Expired, "it ran out"));
}

}  // namespace

TEST_CASE("a check looks at a part of a temporary while that lives") {
  CHECK_OK(examine(true).value().verdict);
  CHECK_OK(examine(true)->verdict);
  REQUIRE_OK(examine(true).value().verdict);
  CHECK_FAILS(examine(false).value().verdict, common::ErrorCode::Expired);
  CHECK_FAILS(examine(false)->verdict, common::ErrorCode::Expired);
}

TEST_CASE("a check takes results that cannot be copied, and evaluates once") {
  int evaluated = 0;
  const auto once = [&]() -> common::Result<std::unique_ptr<int>> {
    ++evaluated;
    return std::make_unique<int>(1);
  };
  const auto named = once();
  CHECK_OK(named);
  CHECK_OK(once());
  CHECK(evaluated == 2);
}

TEST_CASE("a check shows the code and the sentence") {
  const common::Status failed = common::fail(common::ErrorCode::Expired, "it ran out");
  CHECK(test_support::outcome_of(failed).text() == "expired: it ran out");
  CHECK(test_support::outcome_of(common::Status{}).text() == "ok");
}
