#include "common/daemon/data_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace common::daemon {
namespace {

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

Status DataDirectory::check(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0)
    return check_existing(path, info);
  if (errno != ENOENT)
    return fail_errno(errno, "cannot use the data directory {}", path);
  const std::string parent = path.substr(0, path.find_last_of('/') + 1);
  const std::string where = parent.empty() ? "." : parent;
  if (::faccessat(AT_FDCWD, where.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return cannot_make(errno, path);
  }
  return {};
}

Result<DataDirectory> DataDirectory::open(const std::string& path) {
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST)
    return cannot_make(errno, path);
  DataDirectory directory(path, made);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return fail_errno(errno, "cannot use the data directory {}", path);
  }
  TROTH_TRY_VOID(check_existing(path, info));
  TROTH_TRY(auto lock, io::LockFile::acquire(path + "/lock", "data directory " + path));
  directory.lock_ = std::move(lock);
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
