#include "common/io/new_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/failpoint/failpoint.hpp"

namespace common::io {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos)
    return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

tl::unexpected<Error> exists(const std::string& path) {
  return fail(ErrorCode::AlreadyExists, "{} exists already and is never overwritten; name another",
              path);
}

}  // namespace

Result<NewFile> NewFile::create(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0)
    return exists(path);
  if (errno != ENOENT)
    return fail_errno(errno, "look for {}", path);
  std::string directory = directory_of(path);
  UniqueFd unnamed(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (unnamed.valid())
    return NewFile(path, std::move(directory), std::move(unnamed), {});
  if (errno != EOPNOTSUPP && errno != EISDIR)
    return fail_errno(errno, "make a file in {}", directory);
  std::string temporary = path + ".XXXXXX";
  UniqueFd named(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!named.valid())
    return fail_errno(errno, "make a file in {}", directory);
  return NewFile(path, std::move(directory), std::move(named), std::move(temporary));
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      directory_(std::move(other.directory_)),
      fd_(std::move(other.fd_)),
      temporary_(std::exchange(other.temporary_, {})) {}

NewFile::~NewFile() {
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
}

Status NewFile::append(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR)
      continue;
    if (put <= 0)
      return fail_errno(put == 0 ? EIO : errno, "write {}", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Status NewFile::publish() {
  if (::fsync(fd_.get()) != 0)
    return fail_errno(errno, "sync {}", path_);
  TROTH_FAILPOINT_TRY("io.new_file.before_name");
  const bool unnamed = temporary_.empty();
  const std::string from = unnamed ? fmt::format("/proc/self/fd/{}", fd_.get()) : temporary_;
  const int how = unnamed ? AT_SYMLINK_FOLLOW : 0;
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path_.c_str(), how) != 0)
    return errno == EEXIST ? exists(path_) : fail_errno(errno, "give {} its name", path_);
  if (const std::string old = std::exchange(temporary_, {}); !old.empty())
    ::unlink(old.c_str());
  TROTH_FAILPOINT_TRY("io.new_file.named");
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0)
    return fail_errno(errno, "sync {}", directory_);
  return {};
}

}  // namespace common::io
