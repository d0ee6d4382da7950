#include "common/daemon/data_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

namespace common::daemon {
namespace {

// Nothing in it, or a server has used it: so closing it cannot lock anybody out of /etc.
bool is_ours_alone(const std::string& path) {
  struct stat info {};
  std::error_code error;
  return ::lstat((path + "/lock").c_str(), &info) == 0 || std::filesystem::is_empty(path, error);
}

Status check_existing(const std::string& path, const struct stat& info) {
  if (!S_ISDIR(info.st_mode)) {
    return fail(ErrorCode::InvalidArgument,
                "data directory {} is not a directory; name another with [server] data_dir", path);
  }
  if (info.st_uid != ::geteuid()) {
    return fail(ErrorCode::PermissionDenied,
                "data directory {} belongs to user {} but this runs as user {}; start it as the "
                "owner, or give the directory away with chown",
                path, info.st_uid, ::geteuid());
  }
  // A directory that everybody writes to is shared on purpose: closing it would break others.
  if ((info.st_mode & (S_ISVTX | S_IWOTH)) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "data directory {} is shared with other users (mode {:04o}); name one of its own "
                "with [server] data_dir",
                path, info.st_mode & 07777);
  }
  if ((info.st_mode & 077) != 0 && !is_ours_alone(path)) {
    return fail(ErrorCode::PermissionDenied,
                "data directory {} has other things in it and is open to other users (mode "
                "{:04o}); name one of its own with [server] data_dir",
                path, info.st_mode & 07777);
  }
  if ((info.st_mode & 077) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "data directory {} is open to other users (mode {:04o}); close it with: chmod 700 "
                "{}",
                path, info.st_mode & 07777, path);
  }
  // Also tells a read-only file system, which the mode does not show.
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return fail_errno(errno,
                      "data directory {} cannot be written; make it writable or name another "
                      "with [server] data_dir",
                      path);
  }
  return {};
}

tl::unexpected<Error> cannot_make(int error_number, const std::string& path) {
  return fail_errno(error_number,
                    "cannot make the data directory {}; make it yourself or name another with "
                    "[server] data_dir",
                    path);
}

}  // namespace

Result<DataDirectory> DataDirectory::open(const std::string& path) {
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST)
    return cannot_make(errno, path);
  DataDirectory directory(path, made);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return fail_errno(
        errno, "cannot use the data directory {}; name another with [server] data_dir", path);
  }
  TROTH_TRY_VOID(check_existing(path, info));
  auto lock = io::LockFile::acquire(path + "/lock", "data directory " + path);
  if (!lock && lock.error().code != ErrorCode::Busy) {
    return fail(lock.error().code,
                "cannot lock the data directory {}; it needs room on its disk: {}", path,
                lock.error().message);
  }
  TROTH_TRY(directory.lock_, std::move(lock));
  return directory;
}

DataDirectory::DataDirectory(DataDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      made_(std::exchange(other.made_, false)),
      lock_(std::move(other.lock_)) {}

DataDirectory::~DataDirectory() {
  if (!made_)
    return;
  // Only what open() made: rmdir refuses a directory that holds anything else.
  if (lock_)
    ::unlink((path_ + "/lock").c_str());
  ::rmdir(path_.c_str());
}

}  // namespace common::daemon
