#include "common/io/new_file.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "common/failpoint/failpoint.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::as_bytes;
using common::ErrorCode;
using common::Status;
using common::io::NewFile;
namespace fs = std::filesystem;

namespace {

Status make(const std::string& path, std::string_view text) {
  TROTH_TRY(auto file, NewFile::create(path));
  TROTH_TRY_VOID(file.append(as_bytes(text)));
  return file.publish();
}

}  // namespace

TEST_CASE("a new file appears whole, for its owner alone, and when it is finished") {
  const test_support::TempDir dir;
  const std::string path = dir / "new";
  {
    auto file = NewFile::create(path);
    REQUIRE_OK(file);
    REQUIRE_OK(file->append(as_bytes("half of it")));
    CHECK_FALSE(fs::exists(path));
  }
  CHECK(fs::is_empty(dir.path()));
  REQUIRE_OK(make(path, "all of it"));
  CHECK(test_support::read_file(path).value() == "all of it");
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(info.st_nlink == 1);
}

TEST_CASE("a new file replaces nothing: no file, no link, not what came meanwhile") {
  const test_support::TempDir dir;
  const std::string path = dir / "new";
  REQUIRE_OK(make(path, "the first"));
  CHECK_FAILS(make(path, "the second"), ErrorCode::AlreadyExists);
  const std::string link = dir / "link";
  fs::create_symlink(dir / "nowhere", link);
  CHECK_FAILS(make(link, "through a link"), ErrorCode::AlreadyExists);
  CHECK_FALSE(fs::exists(dir / "nowhere"));
  auto late = NewFile::create(dir / "late");
  REQUIRE_OK(late);
  REQUIRE_OK(make(dir / "late", "faster"));
  CHECK_FAILS(late->publish(), ErrorCode::AlreadyExists);
  CHECK(test_support::read_file(path).value() == "the first");
  CHECK(test_support::read_file(dir / "late").value() == "faster");
  CHECK_FAILS(make(dir / "missing" / "new", ""), ErrorCode::NotFound);
}

TEST_CASE("killed at any moment, a new file is whole or nothing of it is there") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  for (const std::string place : {"before_name", "named"}) {
    const test_support::TempDir dir;
    const std::string path = dir / "new";
    const pid_t child = ::fork();
    if (child == 0) {
      const bool armed = common::failpoint::arm("io.new_file." + place + "=kill").has_value();
      ::_exit(armed && make(path, "all of it") ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    if (place == "named") {
      CHECK(test_support::read_file(path).value() == "all of it");
    } else {
      CHECK(fs::is_empty(dir.path()));
    }
  }
}
