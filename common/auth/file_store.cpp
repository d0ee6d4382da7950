#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "common/auth/credential_codec.hpp"
#include "common/auth/credential_store.hpp"
#include "common/rpc/socket.hpp"
#include "common/ticket/principal.hpp"

namespace common::auth {
namespace {

// How long to wait before trying again for a lock that another process has. It renews a ticket
// meanwhile, which takes some milliseconds.
constexpr int kLockPauseMs = 10;
constexpr const char* kElsewhere =
    "name a file in a directory of your own with TROTH_CREDENTIALS, and tell whoever looks after "
    "this machine";

Status check_owned(const struct stat& info, const std::string& path) {
  if (info.st_uid != ::geteuid()) {
    return fail(ErrorCode::PermissionDenied,
                "{} belongs to uid {}, not to you (uid {}): it is not used; {}", path, info.st_uid,
                ::geteuid(), kElsewhere);
  }
  return {};
}

// A directory whose names only we (or root) can have chosen.
Status check_directory(int fd, const std::string& path, bool exclusive) {
  struct stat info {};
  if (::fstat(fd, &info) != 0)
    return fail_errno(errno, "look at {}", path);
  if (exclusive || info.st_uid != 0)
    TROTH_TRY_VOID(check_owned(info, path));
  const mode_t forbidden = exclusive ? 0077 : 0022;
  const bool sticky = !exclusive && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & forbidden) != 0 && !sticky) {
    return fail(ErrorCode::PermissionDenied,
                "{} has mode {:04o}, so others could change what is in it: chmod 700 it", path,
                info.st_mode & 07777);
  }
  return {};
}

Status check_file(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::PermissionDenied, "{} is not a regular file: remove it", path);
  TROTH_TRY_VOID(check_owned(info, path));
  if ((info.st_mode & 0077) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "{} has mode {:04o}, so others may have read your credentials: troth logout, then "
                "log in again",
                path, info.st_mode & 07777);
  }
  if (info.st_nlink > 1) {
    return fail(ErrorCode::PermissionDenied,
                "{} has a second name, so others may have it: troth logout, then log in again",
                path);
  }
  if (info.st_size < 0 || static_cast<std::uint64_t>(info.st_size) > kMaxCacheBytes)
    return fail(ErrorCode::Corrupt, "{} is too long to hold credentials: troth logout", path);
  return {};
}

// The open file of that name, if it is one that only we could have written.
Result<UniqueFd> open_checked(int directory, const std::string& name, int flags,
                              const std::string& path) {
  // Not blocking: a FIFO in its place must not hang us before it is refused.
  UniqueFd fd(::openat(directory, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd.valid() && errno == ELOOP) {
    return fail(ErrorCode::PermissionDenied,
                "{} is a symbolic link, which is not followed: remove it and log in again", path);
  }
  if (!fd.valid())
    return fail_errno(errno, "open {}", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "look at {}", path);
  TROTH_TRY_VOID(check_file(info, path));
  return fd;
}

Status write_all(int fd, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return fail_errno(errno, "write {}", path);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return ::fdatasync(fd) == 0 ? Status() : fail_errno(errno, "write {}", path);
}

Status read_all(int fd, std::span<std::byte> into, const std::string& path) {
  while (!into.empty()) {
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "read {}", path);
    if (got == 0)
      return fail(ErrorCode::Corrupt, "{} was cut off while it was read: log in again", path);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

// Zeros over the file's content, as far as that reaches the disk's old blocks at all.
void overwrite(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0)
    return;
  const Bytes zeros(std::min(static_cast<std::size_t>(info.st_size), kMaxCacheBytes));
  static_cast<void>(write_all(fd, zeros, "credentials"));
}

class FileStore final : public CredentialStore {
 public:
  FileStore(std::string directory, std::string name, bool own_directory)
      : directory_(std::move(directory)), name_(std::move(name)), exclusive_(own_directory) {}

  [[nodiscard]] Result<crypto::Secret> read() const override;
  Status write(const StoreLock& lock, ByteView bytes) override;
  Status wipe() override;
  Result<StoreLock> lock(Instant deadline) override;
  [[nodiscard]] std::string where() const override { return directory_ + "/" + name_; }

 private:
  // `make`: when the directory is ours alone and missing.
  [[nodiscard]] Result<UniqueFd> open_directory(bool make) const;

  const std::string directory_;
  const std::string name_;
  const bool exclusive_;  // the directory is for credentials only, and ours to make
};

Result<UniqueFd> FileStore::open_directory(bool make) const {
  if (make && exclusive_ && ::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(errno, "make {}", directory_);
  const int nofollow = exclusive_ ? O_NOFOLLOW : 0;
  UniqueFd fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | nofollow));
  if (!fd.valid() && (errno == ELOOP || errno == ENOTDIR)) {
    return fail(ErrorCode::PermissionDenied, "{} is not a directory: it is not used; {}",
                directory_, kElsewhere);
  }
  if (!fd.valid())
    return fail_errno(errno, "open {}", directory_);
  TROTH_TRY_VOID(check_directory(fd.get(), directory_, exclusive_));
  return fd;
}

Result<crypto::Secret> FileStore::read() const {
  TROTH_TRY(const UniqueFd directory, open_directory(false));
  TROTH_TRY(const UniqueFd fd, open_checked(directory.get(), name_, O_RDONLY, where()));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "look at {}", where());
  crypto::Secret bytes(std::min(static_cast<std::size_t>(info.st_size), kMaxCacheBytes));
  TROTH_TRY_VOID(read_all(fd.get(), bytes.writable(), where()));
  return bytes;
}

Status FileStore::write(const StoreLock&, ByteView bytes) {
  TROTH_TRY(const UniqueFd directory, open_directory(true));
  // The lock is held, so that no other writer uses this name.
  const std::string temporary = name_ + ".new";
  static_cast<void>(::unlinkat(directory.get(), temporary.c_str(), 0));
  {
    TROTH_TRY(const UniqueFd fd, open_checked(directory.get(), temporary,
                                              O_WRONLY | O_CREAT | O_EXCL, where() + ".new"));
    const Status written = write_all(fd.get(), bytes, where() + ".new");
    if (!written) {
      overwrite(fd.get());
      static_cast<void>(::unlinkat(directory.get(), temporary.c_str(), 0));
      return written;
    }
  }
  if (::renameat(directory.get(), temporary.c_str(), directory.get(), name_.c_str()) != 0)
    return fail_errno(errno, "replace {}", where());
  return {};
}

Status FileStore::wipe() {
  const auto directory = open_directory(false);
  if (!directory && directory.error().code == ErrorCode::NotFound)
    return {};
  if (!directory)
    return tl::unexpected(directory.error());
  for (const std::string& name : {name_, name_ + ".new"}) {
    {
      // What is a link, or not ours, is not written to; its name goes all the same.
      const auto fd = open_checked(directory->get(), name, O_WRONLY, where());
      if (fd)
        overwrite(fd->get());
    }
    if (::unlinkat(directory->get(), name.c_str(), 0) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove {}", where());
  }
  return {};
}

Result<StoreLock> FileStore::lock(Instant deadline) {
  TROTH_TRY(const UniqueFd directory, open_directory(true));
  TROTH_TRY(UniqueFd fd,
            open_checked(directory.get(), name_ + ".lock", O_RDWR | O_CREAT, where() + ".lock"));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return fail_errno(errno, "lock {}", where());
    if (rpc::now() >= deadline) {
      return fail(ErrorCode::DeadlineExceeded,
                  "another process has been changing {} for too long; try again", where());
    }
    ::poll(nullptr, 0, kLockPauseMs);
  }
  return StoreLock(std::move(fd));
}

bool is_own_directory(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & 0022) == 0;
}

}  // namespace

StorePlaces places_of_process() {
  StorePlaces places;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets variables
  if (const char* named = std::getenv("TROTH_CREDENTIALS"))
    places.variable = named;
  return places;
}

Result<std::unique_ptr<CredentialStore>> open_store(std::string_view cell,
                                                    const StorePlaces& places) {
  TROTH_TRY_VOID(ticket::check_cell_id(cell));
  if (places.variable == "keyring")
    return open_keyring_store(cell);
  const std::string name = std::string(cell) + ".cred";
  if (!places.variable.empty()) {
    const std::size_t slash = places.variable.rfind('/');
    if (slash == std::string::npos || slash + 1 == places.variable.size()) {
      return fail(ErrorCode::InvalidArgument,
                  "TROTH_CREDENTIALS is \"{}\"; expected the path of a file, or \"keyring\"",
                  places.variable);
    }
    return std::make_unique<FileStore>(slash == 0 ? "/" : places.variable.substr(0, slash),
                                       places.variable.substr(slash + 1), false);
  }
  const std::string uid = std::to_string(::geteuid());
  const std::string runtime = places.runtime_root + "/" + uid;
  if (is_own_directory(runtime))
    return std::make_unique<FileStore>(runtime + "/troth", name, true);
  return std::make_unique<FileStore>(places.fallback_root + "/troth-" + uid, name, true);
}

}  // namespace common::auth
