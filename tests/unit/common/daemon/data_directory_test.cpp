#include "common/daemon/data_directory.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using common::daemon::DataDirectory;
namespace fs = std::filesystem;

namespace {

std::string message_of(const common::Result<DataDirectory>& status) {
  return status ? "" : status.error().message;
}

mode_t mode_of(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

}  // namespace

TEST_CASE("a missing directory is made private and kept once the program runs") {
  const test_support::TempDir dir;
  const fs::path data = dir / "data";
  {
    auto open = DataDirectory::open(data.string());
    REQUIRE_OK(open);
    CHECK(mode_of(data) == 0700);
    open->keep();
  }
  CHECK(fs::exists(data));
}

TEST_CASE("a start that fails leaves no directory behind, and touches nothing it did not make") {
  const test_support::TempDir dir;
  const fs::path data = dir / "data";
  { REQUIRE_OK(DataDirectory::open(data.string())); }
  CHECK_FALSE(fs::exists(data));

  REQUIRE(::mkdir(data.c_str(), 0700) == 0);
  REQUIRE_OK(test_support::write_file(data / "precious", "x"));
  { REQUIRE_OK(DataDirectory::open(data.string())); }
  CHECK(fs::exists(data / "precious"));
}

TEST_CASE("a second holder is told who has it, and does the first no harm") {
  const test_support::TempDir dir;
  const std::string data = (dir / "data").string();
  auto first = DataDirectory::open(data);
  REQUIRE_OK(first);
  {
    const auto second = DataDirectory::open(data);
    CHECK_FAILS(second, ErrorCode::Busy);
    CHECK(second.error().message.find(std::to_string(::getpid())) != std::string::npos);
  }
  CHECK(fs::exists(fs::path(data) / "lock"));
}

TEST_CASE("unusable directories are refused with what to do, and nothing is made") {
  const test_support::TempDir dir;
  SUBCASE("open to others") {
    const fs::path data = dir / "data";
    REQUIRE(::mkdir(data.c_str(), 0700) == 0);
    REQUIRE(::chmod(data.c_str(), 0750) == 0);
    const auto status = DataDirectory::open(data.string());
    CHECK_FAILS(status, ErrorCode::PermissionDenied);
    CHECK(message_of(status).find("chmod 700 " + data.string()) != std::string::npos);
    CHECK_FALSE(fs::exists(data / "lock"));
  }
  SUBCASE("open to others, and not only ours: nobody is told to close /etc") {
    const fs::path data = dir / "data";
    REQUIRE(::mkdir(data.c_str(), 0755) == 0);
    REQUIRE(::chmod(data.c_str(), 0755) == 0);
    REQUIRE_OK(test_support::write_file(data / "passwd", "x"));
    const auto status = DataDirectory::open(data.string());
    CHECK_FAILS(status, ErrorCode::PermissionDenied);
    CHECK(message_of(status).find("chmod") == std::string::npos);
    CHECK(message_of(status).find("data_dir") != std::string::npos);
  }
  SUBCASE("shared on purpose") {
    const fs::path data = dir / "data";
    REQUIRE(::mkdir(data.c_str(), 0700) == 0);
    REQUIRE(::chmod(data.c_str(), 01777) == 0);
    const auto status = DataDirectory::open(data.string());
    CHECK_FAILS(status, ErrorCode::PermissionDenied);
    CHECK(message_of(status).find("chmod") == std::string::npos);
  }
  SUBCASE("a file in its place") {
    REQUIRE_OK(test_support::write_file(dir / "data", "x"));
    CHECK_FAILS(DataDirectory::open((dir / "data").string()), ErrorCode::InvalidArgument);
  }
  SUBCASE("a parent that is missing") {
    CHECK_FAILS(DataDirectory::open((dir / "no/data").string()), ErrorCode::NotFound);
  }
  SUBCASE("somebody else's") {
    if (::geteuid() != 0)
      SKIP_TEST("needs root to give a directory away");
    const fs::path data = dir / "data";
    REQUIRE(::mkdir(data.c_str(), 0700) == 0);
    REQUIRE(::chown(data.c_str(), 12345, 12345) == 0);
    const auto status = DataDirectory::open(data.string());
    CHECK_FAILS(status, ErrorCode::PermissionDenied);
    CHECK(message_of(status).find("user 12345") != std::string::npos);
  }
}
