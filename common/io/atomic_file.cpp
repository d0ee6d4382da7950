#include "common/io/atomic_file.hpp"

namespace common::io {
namespace {

Status write_and_sync(FileIo& io, const std::string& path, std::span<const std::byte> bytes,
                      const PrepareFile& prepare) {
  TROTH_TRY(const auto file, io.open(path, OpenMode::CreateNew));
  TROTH_TRY_VOID(file->write_at(0, bytes));
  if (prepare)
    TROTH_TRY_VOID(prepare(path));
  return file->sync();
}

}  // namespace

Status write_file_atomically(FileIo& io, std::string_view path, std::span<const std::byte> bytes,
                             const PrepareFile& prepare) {
  const std::string temporary = std::string(path) + ".new";
  // What a crash left of an earlier attempt is in nobody's use: there is one writer per path.
  if (Status removed = io.unlink(temporary);
      !removed && removed.error().code != ErrorCode::NotFound) {
    return removed;
  }
  Status written = write_and_sync(io, temporary, bytes, prepare);
  if (written)
    written = io.rename(temporary, path);
  if (!written) {
    // The first failure is the one worth reporting; a leftover is removed by the next attempt.
    static_cast<void>(io.unlink(temporary));
    return written;
  }
  return io.sync_directory(parent_of(path));
}

Result<std::vector<std::byte>> read_whole_file(FileIo& io, std::string_view path,
                                               std::size_t limit) {
  TROTH_TRY(const auto file, io.open(path, OpenMode::Read));
  TROTH_TRY(const std::uint64_t size, file->size());
  if (size > limit) {
    return fail(ErrorCode::TooLarge, "{} has {} bytes, more than {}", path, size, limit);
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  TROTH_TRY_VOID(file->read_exactly(0, bytes));
  return bytes;
}

}  // namespace common::io
