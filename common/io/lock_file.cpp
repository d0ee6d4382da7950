#include "common/io/lock_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "common/failpoint/failpoint.hpp"

namespace common::io {
namespace {

// The pid in the file, or empty: the holder may not have written it yet, or the disk was full.
std::string read_holder(int fd) {
  std::array<char, 32> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  const std::string_view seen(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::string_view digits = seen.substr(0, seen.find_first_not_of("0123456789"));
  return std::string(digits);
}

// For people only; the lock holds without it, so a full disk must not keep a server from starting.
void write_holder(int fd) {
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0)
    return;
  const ssize_t put = ::pwrite(fd, text.data(), text.size(), 0);
  static_cast<void>(put);
}

}  // namespace

namespace {

// The file that is locked is still the one of that name: who made it may have removed it between
// our opening and our locking it, and then it keeps nobody out.
bool is_still(int fd, const std::string& path) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path, const std::string& what) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid())
    return fail_errno(errno, "opening lock file {}", path);
  TROTH_FAILPOINT("io.lock_file.before_lock");
  int locked = 0;
  do {
    locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0 && errno == EWOULDBLOCK) {
    const std::string holder = read_holder(fd.get());
    return fail(ErrorCode::Busy,
                "{} is in use by {}; stop that process first, or use another place", what,
                holder.empty() ? "another process" : "process " + holder);
  }
  if (locked != 0)
    return fail_errno(errno, "locking {}", path);
  if (!is_still(fd.get(), path)) {
    return fail(ErrorCode::Busy, "{} was just given up by another process; try again", what);
  }
  write_holder(fd.get());
  return LockFile(std::move(fd));
}

Result<LockFile> lock_directory(const std::string& directory) {
  return LockFile::acquire(directory + "/lock", "directory " + directory);
}

}  // namespace common::io
