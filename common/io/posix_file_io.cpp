#include "common/io/posix_file_io.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace common::io {
namespace {

// Repeats a system call that a signal interrupted.
template <typename Call>
auto retry_interrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = retry_interrupted([&] {
        return ::pread(fd_.get(), into.data() + done, into.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0)
        return fail_errno(errno, "reading {}", path_);
      if (got == 0)
        break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t put = retry_interrupted([&] {
        return ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (put < 0)
        return fail_errno(errno, "writing {}", path_);
      if (put == 0)
        return fail_errno(EIO, "writing {}", path_);
      done += static_cast<std::size_t>(put);
    }
    return {};
  }

  Result<std::uint64_t> append(std::span<const std::byte> bytes) override {
    TROTH_TRY(const std::uint64_t end, size());
    TROTH_TRY_VOID(write_at(end, bytes));
    return end;
  }

  // Not repeated on EINTR alone: whether an interrupted sync lost the error of a write is not
  // known, and fdatasync does not fail with EINTR on local file systems.
  Status sync() override {
    if (::fdatasync(fd_.get()) != 0)
      return fail_errno(errno, "syncing {}", path_);
    return {};
  }

  Status truncate(std::uint64_t size) override {
    if (retry_interrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) != 0) {
      return fail_errno(errno, "truncating {}", path_);
    }
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0)
      return fail_errno(errno, "asking the size of {}", path_);
    return static_cast<std::uint64_t>(info.st_size);
  }

  Status allocate(std::uint64_t size) override {
    const int done = retry_interrupted(
        [&] { return ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)); });
    if (done != 0 && errno != EOPNOTSUPP)
      return fail_errno(errno, "allocating {} bytes for {}", size, path_);
    return {};
  }

  // A failure shows in the sync that follows.
  void start_writeback(std::uint64_t offset, std::uint64_t length) override {
    static_cast<void>(::sync_file_range(fd_.get(), static_cast<off_t>(offset),
                                        static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE));
  }

  void drop_cached() override {
    static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED));
  }

 private:
  const UniqueFd fd_;
  const std::string path_;
};

int open_flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::Read:
      return O_RDONLY;
    case OpenMode::ReadWrite:
      return O_RDWR;
    case OpenMode::ReadWriteCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::CreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

EntryKind kind_of(int directory_fd, const dirent& entry) {
  mode_t mode = 0;
  if (entry.d_type == DT_UNKNOWN) {
    struct stat info {};
    if (::fstatat(directory_fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
      mode = info.st_mode;
  }
  if (entry.d_type == DT_REG || S_ISREG(mode))
    return EntryKind::File;
  if (entry.d_type == DT_DIR || S_ISDIR(mode))
    return EntryKind::Directory;
  return EntryKind::Other;
}

struct DirectoryStream {
  DIR* stream;
  explicit DirectoryStream(DIR* opened) : stream(opened) {}
  DirectoryStream(const DirectoryStream&) = delete;
  DirectoryStream& operator=(const DirectoryStream&) = delete;
  ~DirectoryStream() {
    if (stream != nullptr)
      ::closedir(stream);
  }
};

}  // namespace

Result<std::unique_ptr<PosixFileIo>> PosixFileIo::open_root(const std::string& directory) {
  UniqueFd root(retry_interrupted(
      [&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!root.valid())
    return fail_errno(errno, "opening directory {}", directory);
  return std::unique_ptr<PosixFileIo>(new PosixFileIo(std::move(root)));
}

Result<UniqueFd> PosixFileIo::open_beneath(std::string_view path, int flags) const {
  const std::string text(path.empty() ? std::string_view(".") : path);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = (flags & O_CREAT) != 0 ? 0600 : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: a rename elsewhere raced with the resolution and the kernel could not prove that the
  // path stays below; its manual says to try again.
  constexpr int kMaxRaces = 100;
  for (int attempt = 0; attempt < kMaxRaces; ++attempt) {
    const long fd = ::syscall(SYS_openat2, root_.get(), text.c_str(), &how, sizeof how);
    if (fd >= 0)
      return UniqueFd(static_cast<int>(fd));
    if (errno != EINTR && errno != EAGAIN)
      break;
  }
  return fail_errno(errno, "opening {}", path);
}

Result<UniqueFd> PosixFileIo::open_parent(std::string_view path) const {
  return open_beneath(parent_of(path), O_PATH | O_DIRECTORY);
}

Result<std::unique_ptr<File>> PosixFileIo::open(std::string_view path, OpenMode mode) {
  TROTH_TRY_VOID(check_path(path));
  // O_NONBLOCK: opening a FIFO that somebody planted must not wait; regular files ignore it.
  TROTH_TRY(UniqueFd fd, open_beneath(path, open_flags(mode) | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "opening {}", path);
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::InvalidArgument, "{} is not a regular file", path);
  }
  return std::make_unique<PosixFile>(std::move(fd), std::string(path));
}

Status PosixFileIo::rename(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(check_path(from));
  TROTH_TRY_VOID(check_path(to));
  TROTH_TRY(const UniqueFd from_parent, open_parent(from));
  TROTH_TRY(const UniqueFd to_parent, open_parent(to));
  const std::string from_name(name_of(from));
  const std::string to_name(name_of(to));
  struct stat info {};
  if (::fstatat(from_parent.get(), from_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, "renaming {} to {}", from, to);
  }
  const unsigned flags = S_ISDIR(info.st_mode) ? RENAME_NOREPLACE : 0;
  if (::renameat2(from_parent.get(), from_name.c_str(), to_parent.get(), to_name.c_str(), flags) !=
      0) {
    return fail_errno(errno, "renaming {} to {}", from, to);
  }
  return {};
}

Status PosixFileIo::unlink(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  TROTH_TRY(const UniqueFd parent, open_parent(path));
  if (::unlinkat(parent.get(), std::string(name_of(path)).c_str(), 0) != 0) {
    return fail_errno(errno, "removing {}", path);
  }
  return {};
}

Status PosixFileIo::make_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  TROTH_TRY(const UniqueFd parent, open_parent(path));
  if (::mkdirat(parent.get(), std::string(name_of(path)).c_str(), 0700) != 0) {
    return fail_errno(errno, "making directory {}", path);
  }
  return {};
}

Status PosixFileIo::remove_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path));
  TROTH_TRY(const UniqueFd parent, open_parent(path));
  if (::unlinkat(parent.get(), std::string(name_of(path)).c_str(), AT_REMOVEDIR) != 0) {
    return fail_errno(errno, "removing directory {}", path);
  }
  return {};
}

Result<std::vector<Entry>> PosixFileIo::list(std::string_view path) {
  TROTH_TRY_VOID(check_path(path, RootPath::Allowed));
  TROTH_TRY(UniqueFd fd, open_beneath(path, O_RDONLY | O_DIRECTORY));
  const DirectoryStream directory(::fdopendir(fd.get()));
  if (directory.stream == nullptr)
    return fail_errno(errno, "listing {}", path);
  static_cast<void>(fd.release());  // the stream closes it
  std::vector<Entry> entries;
  errno = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe on a stream that no other thread has
  while (const dirent* entry = ::readdir(directory.stream)) {
    const std::string_view name(entry->d_name);
    if (name == "." || name == "..")
      continue;
    if (entries.size() == kMaxListedEntries) {
      return fail(ErrorCode::TooLarge, "more than {} entries in directory {}", kMaxListedEntries,
                  path);
    }
    entries.push_back({std::string(name), kind_of(::dirfd(directory.stream), *entry)});
    errno = 0;
  }
  if (errno != 0)
    return fail_errno(errno, "listing {}", path);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

Status PosixFileIo::sync_directory(std::string_view path) {
  TROTH_TRY_VOID(check_path(path, RootPath::Allowed));
  TROTH_TRY(const UniqueFd fd, open_beneath(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0)
    return fail_errno(errno, "syncing directory {}", path);
  return {};
}

}  // namespace common::io
