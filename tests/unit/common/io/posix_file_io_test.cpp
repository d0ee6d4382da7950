#include "common/io/posix_file_io.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <filesystem>
#include <string>

#include "common/failpoint/failpoint.hpp"
#include "common/io/lock_file.hpp"
#include "tests/support/test.hpp"

using namespace common::io;
using common::ErrorCode;
using common::UniqueFd;

namespace {

struct TemporaryDirectory {
  std::string path = std::filesystem::temp_directory_path() / "troth-io-XXXXXX";
  TemporaryDirectory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
};

// A child that takes the lock, says so, and then waits to be killed.
pid_t start_holder(const std::string& directory) {
  std::array<int, 2> ready{};
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = lock_directory(directory);
    const char taken = lock ? 'y' : 'n';
    if (::write(ready[1], &taken, 1) != 1)
      ::_exit(1);
    for (;;)
      ::pause();
  }
  ::close(ready[1]);
  char taken = 0;
  REQUIRE(::read(ready[0], &taken, 1) == 1);
  ::close(ready[0]);
  REQUIRE(taken == 'y');
  return child;
}

}  // namespace

TEST_CASE("no symbolic link is followed, wherever it stands in the path") {
  const TemporaryDirectory outside;
  const TemporaryDirectory root;
  std::filesystem::create_directory(outside.path + "/d");
  std::filesystem::create_directory(root.path + "/d");
  { UniqueFd secret(::open((outside.path + "/secret").c_str(), O_CREAT | O_WRONLY, 0600)); }
  std::filesystem::create_symlink(outside.path + "/secret", root.path + "/file");
  std::filesystem::create_symlink(outside.path, root.path + "/directory");
  std::filesystem::create_symlink("d", root.path + "/inner");
  std::filesystem::create_symlink(outside.path + "/new", root.path + "/dangling");
  const auto io = PosixFileIo::open_root(root.path);
  REQUIRE_OK(io);
  for (const auto* path : {"file", "directory/secret", "inner/f", "dangling"}) {
    CAPTURE(path);
    CHECK_FALSE((*io)->open(path, OpenMode::ReadWriteCreate).has_value());
    CHECK_FALSE((*io)->open(path, OpenMode::Read).has_value());
  }
  CHECK_FALSE((*io)->list("directory").has_value());
  CHECK_FALSE((*io)->unlink("directory/secret").has_value());
  CHECK_FALSE((*io)->make_directory("directory/x").has_value());
  CHECK_FALSE((*io)->rename("directory/secret", "got").has_value());
  CHECK_FALSE(std::filesystem::exists(outside.path + "/new"));
  CHECK(std::filesystem::exists(outside.path + "/secret"));
}

TEST_CASE("a planted FIFO neither opens nor blocks") {
  const TemporaryDirectory root;
  REQUIRE(::mkfifo((root.path + "/fifo").c_str(), 0600) == 0);
  const auto io = PosixFileIo::open_root(root.path);
  CHECK_FAILS((*io)->open("fifo", OpenMode::Read), ErrorCode::InvalidArgument);
  CHECK_FAILS((*io)->open("fifo", OpenMode::ReadWriteCreate), ErrorCode::InvalidArgument);
}

TEST_CASE("new files and directories belong to their owner alone") {
  const TemporaryDirectory root;
  const auto io = PosixFileIo::open_root(root.path);
  REQUIRE_OK((*io)->open("f", OpenMode::CreateNew));
  REQUIRE_OK((*io)->make_directory("d"));
  struct stat info {};
  REQUIRE(::stat((root.path + "/f").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(::stat((root.path + "/d").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a root that is missing or a file is refused") {
  const TemporaryDirectory root;
  CHECK_FAILS(PosixFileIo::open_root(root.path + "/none"), ErrorCode::NotFound);
  { UniqueFd file(::open((root.path + "/f").c_str(), O_CREAT | O_WRONLY, 0600)); }
  CHECK_FAILS(PosixFileIo::open_root(root.path + "/f"), ErrorCode::InvalidArgument);
}

TEST_CASE(
    "a second holder of a directory is told who has it, and gets it when that one is killed") {
  const TemporaryDirectory root;
  const pid_t holder = start_holder(root.path);
  const auto refused = lock_directory(root.path);
  CHECK_FAILS(refused, ErrorCode::Busy);
  const std::string& message = refused.error().message;
  CAPTURE(message);
  CHECK(message.find("process " + std::to_string(holder)) != std::string::npos);
  CHECK(message.find("stop that process") != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
  ::kill(holder, SIGKILL);
  REQUIRE(::waitpid(holder, nullptr, 0) == holder);
  const auto lock = lock_directory(root.path);
  CHECK_OK(lock);
  CHECK_FAILS(lock_directory(root.path), ErrorCode::Busy);
}

TEST_CASE("a lock ends with its object and needs an existing directory") {
  const TemporaryDirectory root;
  { REQUIRE_OK(lock_directory(root.path)); }
  CHECK_OK(lock_directory(root.path));
  CHECK_FAILS(lock_directory(root.path + "/none"), ErrorCode::NotFound);
}

TEST_CASE("a lock file removed between its opening and its locking is no lock (F12)") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  const TemporaryDirectory root;
  int removed = 0;
  common::failpoint::arm_call("io.lock_file.before_lock", [&]() -> common::Status {
    if (removed++ == 0)
      std::filesystem::remove(root.path + "/lock");
    return {};
  });
  const auto first = lock_directory(root.path);
  const auto second = lock_directory(root.path);
  common::failpoint::disarm_all();
  CHECK(removed == 2);
  // Were the first one given a lock on a file without a name, there would be two holders now.
  CHECK_FAILS(first, ErrorCode::Busy);
  CHECK_OK(second);
}
