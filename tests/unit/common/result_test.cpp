#include "common/result.hpp"

#include <cerrno>

#include "tests/support/test.hpp"

using common::Error;
using common::ErrorCode;
using common::Result;
using common::Status;

namespace {

Result<int> half(int n) {
  if (n % 2 != 0)
    return common::fail(ErrorCode::InvalidArgument, "{} is odd", n);
  return n / 2;
}

Result<int> quarter(int n) {
  TROTH_TRY(const int once, half(n));
  TROTH_TRY(const int twice, half(once));
  return twice;
}

Status check_even(int n) {
  TROTH_TRY_VOID(half(n));
  return {};
}

}  // namespace

TEST_CASE("the early return passes values through and stops at the first error") {
  CHECK(quarter(8).value() == 2);
  CHECK(quarter(6).error().message == "3 is odd");
  CHECK_OK(check_even(2));
  CHECK_FAILS(check_even(3), ErrorCode::InvalidArgument);
}

TEST_CASE("every error code has a name of its own that leads back to it") {
  for (int i = 0; i <= static_cast<int>(ErrorCode::Internal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    CHECK(common::error_code_from_string(common::to_string(code)) == code);
  }
  CHECK(common::error_code_from_string("from_a_newer_peer") == ErrorCode::Internal);
}

TEST_CASE("an errno keeps its meaning and the system's own words") {
  const Error error = common::fail_errno(ENOSPC, "write {}", "/x").value();
  CHECK(error.code == ErrorCode::NoSpace);
  CHECK(error.message == "write /x: No space left on device");
  CHECK(common::error_code_from_errno(EIO) == ErrorCode::IoError);
}

TEST_CASE("every errno of file operations has a name that leads back to it") {
  for (const int number : {EPERM, EACCES, ENOTEMPTY, EISDIR, ENOTDIR, EMLINK, EXDEV, EDQUOT, ENOSPC,
                           ENAMETOOLONG, ELOOP, ENODATA, ESTALE, ERANGE, EKEYEXPIRED}) {
    CAPTURE(number);
    CHECK_FALSE(common::errno_name(number).empty());
    CHECK(common::errno_from_name(common::errno_name(number)) == number);
    const Error error = common::fail_posix(number, "cannot {}", "rename").value();
    CHECK(error.message == "cannot rename");
    CHECK(error.in("batch").error_number == number);
    CHECK(error.code != ErrorCode::IoError);
    CHECK(error.code != ErrorCode::Internal);
  }
  CHECK(common::errno_name(0).empty());
  CHECK(common::errno_from_name("") == 0);
}

TEST_CASE("context is put before the sentence and nothing else is lost") {
  Error error{ErrorCode::Overloaded, "too many calls", std::chrono::milliseconds(250)};
  const Error outer = error.in("lookup");
  CHECK(outer.code == ErrorCode::Overloaded);
  CHECK(outer.message == "lookup: too many calls");
  CHECK(outer.retry_after.count() == 250);
}
