#include "common/fileclient/transfer/local_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/fileclient/transfer/file_time.hpp"

namespace common::fileclient {

Result<LocalFile> LocalFile::open(const DownloadTarget& target, const std::string& key) {
  std::string name = ".troth-get-" + key;
  UniqueFd fd(::openat(target.dir, name.c_str(),
                       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd.valid())
    return fail_errno(errno, "make a file beside {}", target.name);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "look at {}", name);
  // In a directory that others may write, the name may have been taken by one of them.
  if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || info.st_nlink != 1)
    return fail(ErrorCode::PermissionDenied, "{} beside {} is not a file of yours: remove it", name,
                target.name);
  return LocalFile(std::move(fd), target.dir, std::move(name));
}

Status LocalFile::write_at(std::uint64_t offset, ByteView bytes) const {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return fail_errno(errno, "write the local file");
    offset += static_cast<std::uint64_t>(put);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Status LocalFile::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "read the local file");
    if (got == 0)
      return fail(ErrorCode::Stale, "somebody else cut the local file short");
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Status LocalFile::resize(std::uint64_t size) const {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "make room for {} bytes", size);
  return {};
}

Result<std::uint64_t> LocalFile::size() const {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0)
    return fail_errno(errno, "look at the local file");
  return static_cast<std::uint64_t>(info.st_size);
}

Status LocalFile::publish(const DownloadTarget& target) {
  if (::fchmod(fd_.get(), target.mode & 07777) != 0)
    return fail_errno(errno, "set the mode of {}", target.name);
  if (target.mtime) {
    timespec times[2] = {{}, time_of(*target.mtime)};
    times[0].tv_nsec = UTIME_OMIT;
    if (::futimens(fd_.get(), times) != 0)
      return fail_errno(errno, "set the time of {}", target.name);
  }
  if (::renameat(dir_, name_.c_str(), target.dir, target.name.c_str()) != 0)
    return fail_errno(errno, "make {}", target.name);
  return {};
}

void LocalFile::remove() {
  static_cast<void>(::unlinkat(dir_, name_.c_str(), 0));
  fd_.reset();
}

}  // namespace common::fileclient
