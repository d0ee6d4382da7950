#include "common/fileclient/transfer/resume_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/wire/hex.hpp"

namespace common::fileclient {
namespace {

// The largest: one bit for each 8 MiB of a file of 2 TiB.
constexpr std::size_t kMaxBytes = 64 * 1024;
constexpr int kAttempts = 10;  // to get the lock of a file that others remove meanwhile

Status check_directory(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0)
    return fail_errno(errno, "look at {}", path);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 0077) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "{} is not a directory that only you can look into: it is not used", path);
  }
  return {};
}

bool read_all(int fd, std::span<std::byte> into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

Result<std::string> resume_directory(const std::string& credentials, std::string_view cell_id) {
  std::string directory;
  if (credentials.starts_with('/') && credentials.rfind('/') > 0)
    directory = credentials.substr(0, credentials.rfind('/'));
  else
    directory = "/tmp/troth-" + std::to_string(::geteuid());
  for (const std::string& path : {directory, directory + "/transfers-" + std::string(cell_id)}) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "make {}", path);
  }
  directory += "/transfers-" + std::string(cell_id);
  TROTH_TRY_VOID(check_directory(directory));
  return directory;
}

Result<ResumeFile> ResumeFile::open(const std::string& directory, const crypto::Digest& key) {
  const std::string path = directory + "/" + wire::to_hex(key).substr(0, 32);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd.valid())
      return fail_errno(errno, "open {}", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK)
        return fail_errno(errno, "lock {}", path);
      return fail(ErrorCode::Busy, "another process of yours is at this transfer; wait for it");
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0)
      return fail_errno(errno, "look at {}", path);
    if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || info.st_nlink > 1)
      return fail(ErrorCode::PermissionDenied, "{} may be somebody else's work: remove it", path);
    if (info.st_nlink == 1)
      return ResumeFile(std::move(fd), path);
    // Whoever had it has just finished, and removed it.
  }
  return fail(ErrorCode::Busy, "{} is removed again and again by others; try again", path);
}

std::optional<Bytes> ResumeFile::read() const {
  struct stat info {};
  crypto::Digest digest;
  if (::fstat(fd_.get(), &info) != 0 || info.st_size <= static_cast<off_t>(digest.size()) ||
      info.st_size > static_cast<off_t>(kMaxBytes + digest.size()))
    return std::nullopt;
  Bytes bytes(static_cast<std::size_t>(info.st_size));
  if (!read_all(fd_.get(), bytes))
    return std::nullopt;
  std::copy_n(bytes.begin(), digest.size(), digest.begin());
  bytes.erase(bytes.begin(), bytes.begin() + digest.size());
  const auto right = crypto::sha256(bytes);
  if (!right || *right != digest)
    return std::nullopt;
  return bytes;
}

Status ResumeFile::write(ByteView bytes) {
  if (bytes.size() > kMaxBytes)
    return fail(ErrorCode::TooLarge, "{} bytes to remember of a transfer", bytes.size());
  TROTH_TRY(const auto digest, crypto::sha256(bytes));
  Bytes all(digest.begin(), digest.end());
  all.insert(all.end(), bytes.begin(), bytes.end());
  // A process killed between the two leaves what its checksum does not fit, hence nothing.
  const ssize_t put = ::pwrite(fd_.get(), all.data(), all.size(), 0);
  if (put != static_cast<ssize_t>(all.size()))
    return fail_errno(put < 0 ? errno : ENOSPC, "write {}", path_);
  if (::ftruncate(fd_.get(), static_cast<off_t>(all.size())) != 0)
    return fail_errno(errno, "cut {}", path_);
  return {};
}

void ResumeFile::remove() {
  // The lock is held: nobody else can use this name.
  static_cast<void>(::unlink(path_.c_str()));
  fd_.reset();
}

}  // namespace common::fileclient
