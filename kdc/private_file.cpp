#include "kdc/private_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/failpoint/failpoint.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/io/unique_fd.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::fail_errno;
using common::Result;
using common::Status;
using common::UniqueFd;
using common::crypto::Secret;

struct Place {
  std::string directory;
  std::string name;
};
Place place_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos)
    return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Result<UniqueFd> open_private(const std::string& path, int flags, struct stat& about) {
  // Without O_NONBLOCK a planted pipe would make us wait for ever.
  UniqueFd fd(::open(path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    if (errno == ELOOP)
      return fail(ErrorCode::PermissionDenied, "{} is a symbolic link, and must be a file", path);
    return fail_errno(errno, "open {}", path);
  }
  if (::fstat(fd.get(), &about) != 0)
    return fail_errno(errno, "stat {}", path);
  if (!S_ISREG(about.st_mode))
    return fail(ErrorCode::PermissionDenied, "{} is not a regular file", path);
  if (about.st_uid != ::geteuid() && about.st_uid != 0) {
    return fail(ErrorCode::PermissionDenied, "{} belongs to user {}, not to user {}", path,
                about.st_uid, ::geteuid());
  }
  if ((about.st_mode & 077U) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "{} is open to others (mode {:o}); make sure that nobody has read it, then chmod "
                "600",
                path, about.st_mode & 07777U);
  }
  return fd;
}

}  // namespace

Result<UniqueFd> open_private_file(const std::string& path) {
  struct stat about {};
  return open_private(path, O_RDONLY, about);
}

Result<Secret> read_private_file(const std::string& path, std::size_t most) {
  struct stat about {};
  TROTH_TRY(const UniqueFd fd, open_private(path, O_RDONLY, about));
  const auto size = static_cast<std::size_t>(about.st_size);
  if (size > most)
    return fail(ErrorCode::TooLarge, "{} has {} bytes, more than {}", path, size, most);
  Secret content(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd.get(), content.writable().data() + done, size - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "read {}", path);
    if (got == 0)
      return fail(ErrorCode::Corrupt, "{} became shorter while it was read", path);
    done += static_cast<std::size_t>(got);
  }
  return content;
}

Status write_private_file(const std::string& path, const Secret& content) {
  const Place place = place_of(path);
  TROTH_TRY(const auto io, common::io::PosixFileIo::open_root(place.directory));
  return common::io::write_file_atomically(*io, place.name, content.bytes());
}

Status wipe_private_file(const std::string& path) {
  const Place place = place_of(path);
  TROTH_TRY(const auto io, common::io::PosixFileIo::open_root(place.directory));
  auto file = io->open(place.name, common::io::OpenMode::ReadWrite);
  if (!file) {
    if (file.error().code == ErrorCode::NotFound)
      return {};
    return tl::unexpected(file.error());
  }
  TROTH_TRY(const std::uint64_t size, (*file)->size());
  const std::vector<std::byte> zeros(4096);
  for (std::uint64_t at = 0; at < size; at += zeros.size()) {
    const auto length = std::min<std::uint64_t>(zeros.size(), size - at);
    TROTH_TRY_VOID((*file)->write_at(at, std::span(zeros).first(length)));
  }
  TROTH_TRY_VOID((*file)->sync());
  TROTH_FAILPOINT("kdc.wipe.before_unlink");
  TROTH_TRY_VOID(io->unlink(place.name));
  return io->sync_directory("");
}

}  // namespace kdc
