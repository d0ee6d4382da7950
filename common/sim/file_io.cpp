#include "common/sim/file_io.hpp"

#include <algorithm>

namespace common::sim {
namespace {

class SimFile final : public io::File {
 public:
  SimFile(SimDisk& disk, SimDisk::File file, bool writable)
      : disk_(disk), file_(file), life_(disk.life()), writable_(writable) {}
  ~SimFile() override {
    if (disk_.life() == life_)
      disk_.close(file_);
  }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    TROTH_TRY_VOID(usable(false));
    return disk_.read(file_, offset, into);
  }
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    TROTH_TRY_VOID(usable(true));
    return disk_.write(file_, offset, bytes);
  }
  Result<std::uint64_t> append(std::span<const std::byte> bytes) override {
    TROTH_TRY_VOID(usable(true));
    TROTH_TRY(const std::uint64_t end, disk_.size(file_));
    TROTH_TRY_VOID(disk_.write(file_, end, bytes));
    return end;
  }
  Status sync() override {
    TROTH_TRY_VOID(usable(false));
    return disk_.sync(file_);
  }
  Status truncate(std::uint64_t size) override {
    TROTH_TRY_VOID(usable(true));
    return disk_.truncate(file_, size);
  }
  Result<std::uint64_t> size() override {
    TROTH_TRY_VOID(usable(false));
    return disk_.size(file_);
  }

 private:
  Status usable(bool writing) const {
    if (disk_.life() != life_)
      return fail(ErrorCode::Cancelled, "this file was open in a former life");
    if (writing && !writable_)
      return fail(ErrorCode::InvalidArgument, "the file is open for reading only");
    return {};
  }

  SimDisk& disk_;
  SimDisk::File file_;
  std::uint64_t life_;
  bool writable_;
};

}  // namespace

Result<std::unique_ptr<io::File>> SimFileIo::open(std::string_view path, io::OpenMode mode) {
  TROTH_TRY_VOID(io::check_path(path));
  const bool create = mode == io::OpenMode::ReadWriteCreate || mode == io::OpenMode::CreateNew;
  TROTH_TRY(const SimDisk::File file,
            disk_.open(path, {.create = create, .exclusive = mode == io::OpenMode::CreateNew}));
  return std::make_unique<SimFile>(disk_, file, mode != io::OpenMode::Read);
}

Status SimFileIo::rename(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(io::check_path(from));
  TROTH_TRY_VOID(io::check_path(to));
  return disk_.rename(from, to);
}

Status SimFileIo::unlink(std::string_view path) {
  TROTH_TRY_VOID(io::check_path(path));
  return disk_.remove(path);
}

Status SimFileIo::make_directory(std::string_view path) {
  TROTH_TRY_VOID(io::check_path(path));
  return disk_.make_directory(path);
}

Status SimFileIo::remove_directory(std::string_view path) {
  TROTH_TRY_VOID(io::check_path(path));
  return disk_.remove_directory(path);
}

Result<std::vector<io::Entry>> SimFileIo::list(std::string_view path) {
  TROTH_TRY_VOID(io::check_path(path, io::RootPath::Allowed));
  TROTH_TRY(const auto listed, disk_.list(path));
  if (listed.size() > io::kMaxListedEntries)
    return fail(ErrorCode::TooLarge, "directory {} is too large", path);
  std::vector<io::Entry> entries;
  entries.reserve(listed.size());
  for (const auto& entry : listed) {
    entries.push_back(
        {entry.name, entry.is_directory ? io::EntryKind::Directory : io::EntryKind::File});
  }
  return entries;
}

Status SimFileIo::sync_directory(std::string_view path) {
  TROTH_TRY_VOID(io::check_path(path, io::RootPath::Allowed));
  return disk_.sync_directory(path);
}

}  // namespace common::sim
