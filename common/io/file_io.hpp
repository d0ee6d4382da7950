#pragma once

// The seam between this project and its files: one narrow interface, implemented by the machine's
// own file system (posix_file_io.hpp), by memory that can lose what was not synced
// (memory_file_io.hpp), by a wrapper that fails on request (faulty_file_io.hpp), and by the
// simulated disk. tests/contract/file_io_contract.hpp says in code what all of them must do.
//
// Paths are relative to the root that the implementation was made with: names joined by single
// slashes, no leading slash, no "." or "..", no NUL byte. No symbolic link is ever followed, so no
// path leads out of the root. The empty path names the root itself, and only list() and
// sync_directory() take it.
//
// What survives a power loss: the bytes of a file as of its last sync(); a name (new, renamed or
// gone) as of the last sync_directory() of the directory that holds it. Nothing else is promised,
// whatever one file system happens to do.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::io {

enum class OpenMode : std::uint8_t {
  Read,             // must exist; writing through the handle fails
  ReadWrite,        // must exist
  ReadWriteCreate,  // made empty if it is missing
  CreateNew,        // must not exist yet, else AlreadyExists
};

// An open regular file; closed by its destructor, which syncs nothing. It may outlive the FileIo
// that opened it. Distinct ranges may be read and written from several threads at once; append and
// truncate need the caller's own order. Every call may block on the disk.
class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;

  // Fills `into` from `offset` on; fewer bytes come back only at the end of the file.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset,
                                                    std::span<std::byte> into) = 0;
  // Writes all of `bytes`, growing the file (a gap reads as zeros). After a failure the range
  // holds any mixture of old and new bytes.
  [[nodiscard]] virtual Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  // Writes all of `bytes` at the end and returns where they begin. One appender at a time. After a
  // failure any part of them may be in the file.
  [[nodiscard]] virtual Result<std::uint64_t> append(std::span<const std::byte> bytes) = 0;
  // The bytes and the size reach the disk (fdatasync). After a failure the caller must take the
  // file's unsynced bytes for lost: calling again may succeed without them.
  [[nodiscard]] virtual Status sync() = 0;
  // Cuts the file, or grows it with zeros.
  [[nodiscard]] virtual Status truncate(std::uint64_t size) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;

  // Hints, which change neither bytes nor size, and which an implementation may leave undone.
  // Reserves room on the disk for the first `size` bytes, so that writing them later does not fail
  // for lack of it and lands in one piece. truncate() gives up what lies beyond the end.
  [[nodiscard]] virtual Status allocate(std::uint64_t size);
  // Begins to write this range to the disk and does not wait for it: a later sync() has less to do.
  virtual void start_writeback(std::uint64_t offset, std::uint64_t length);
  // What is on the disk is read from there next time: after a failed sync, memory may still show
  // what the disk never got. Call it after a sync, which alone leaves nothing in memory only.
  virtual void drop_cached();

  // As read_at, but a file that ends before `into` is full is Corrupt.
  [[nodiscard]] Status read_exactly(std::uint64_t offset, std::span<std::byte> into);
};

enum class EntryKind : std::uint8_t { File, Directory, Other };

struct Entry {
  std::string name;
  EntryKind kind = EntryKind::Other;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// A tree of files under one root. Safe from any thread; every call may block on the disk.
class FileIo {
 public:
  FileIo() = default;
  FileIo(const FileIo&) = delete;
  FileIo& operator=(const FileIo&) = delete;
  virtual ~FileIo() = default;

  // Regular files only: a directory, symbolic link or special file fails and is not opened.
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(std::string_view path,
                                                           OpenMode mode) = 0;
  // Atomic: `to` is at every moment the old file or the new one. A file replaces a file; a
  // directory needs `to` to be missing.
  [[nodiscard]] virtual Status rename(std::string_view from, std::string_view to) = 0;
  // Removes a file's name; open handles keep working.
  [[nodiscard]] virtual Status unlink(std::string_view path) = 0;
  [[nodiscard]] virtual Status make_directory(std::string_view path) = 0;    // parent must exist
  [[nodiscard]] virtual Status remove_directory(std::string_view path) = 0;  // must be empty
  // By name in byte order; more than kMaxListedEntries is TooLarge.
  [[nodiscard]] virtual Result<std::vector<Entry>> list(std::string_view path) = 0;
  // The names in this directory reach the disk.
  [[nodiscard]] virtual Status sync_directory(std::string_view path) = 0;

  // rename(), then sync_directory() of both parents: durable once it returns. If only the sync
  // fails, the new name is visible and may be lost with the power.
  [[nodiscard]] Status rename_durably(std::string_view from, std::string_view to);
};

// A directory of ours holds segments, databases and cache files; far more than this is a mistake
// that must not fill memory.
inline constexpr std::size_t kMaxListedEntries = 1'000'000;

// Linux's own limits (NAME_MAX, PATH_MAX less the terminating byte), the same everywhere.
inline constexpr std::size_t kMaxNameLength = 255;
inline constexpr std::size_t kMaxPathLength = 4095;

enum class RootPath : std::uint8_t { Refused, Allowed };

// For implementations: whether `path` has the form described at the top; InvalidArgument if not.
[[nodiscard]] Status check_path(std::string_view path, RootPath root = RootPath::Refused);
// "a/b/c" -> "a/b"; "c" -> "".
[[nodiscard]] std::string_view parent_of(std::string_view path);
// "a/b/c" -> "c".
[[nodiscard]] std::string_view name_of(std::string_view path);

}  // namespace common::io
