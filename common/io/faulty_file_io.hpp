#pragma once

// Wraps any FileIo and makes chosen calls fail, stop half-way or wait: how tests reach the branches
// that a healthy disk never takes.

#include <functional>
#include <optional>

#include "common/io/file_io.hpp"

namespace common::io {

enum class Operation : std::uint8_t {
  Open,
  Read,
  Write,  // write_at
  Append,
  Sync,
  Truncate,
  Size,
  Rename,  // by the old path
  Unlink,
  MakeDirectory,
  RemoveDirectory,
  List,
  SyncDirectory,
  DropCached,  // cannot fail: counted only
};

// Strikes the calls number `first` to `first + times - 1`, counted from 1 since it was added, among
// the calls of `operation` on paths that contain `path_contains`.
struct Fault {
  Operation operation = Operation::Sync;
  std::string path_contains;
  std::uint64_t first = 1;
  std::uint64_t times = 1;  // 1: fails once, then works again, as a kernel's fsync does
  int error_number = 0;     // 0: no failure, only `before` runs
  // Write and Append: so many bytes go through before the failure.
  std::size_t bytes_before_error = 0;
  // Runs in the calling thread, with no lock held, before the call: a delay, a barrier, a signal.
  std::function<void()> before;
};

// Safe from any thread. The wrapped FileIo must outlive this object and the files opened by it.
class FaultyFileIo final : public FileIo {
 public:
  explicit FaultyFileIo(FileIo& wrapped);
  ~FaultyFileIo() override;

  void add(Fault fault);
  void clear();  // no more faults, and space without limit
  // From now on this many bytes can be written (overwriting counts too); the rest gets ENOSPC.
  void set_space(std::uint64_t bytes);
  // Calls of this operation so far, failed ones included.
  [[nodiscard]] std::uint64_t calls(Operation operation) const;

  [[nodiscard]] Result<std::unique_ptr<File>> open(std::string_view path, OpenMode mode) override;
  [[nodiscard]] Status rename(std::string_view from, std::string_view to) override;
  [[nodiscard]] Status unlink(std::string_view path) override;
  [[nodiscard]] Status make_directory(std::string_view path) override;
  [[nodiscard]] Status remove_directory(std::string_view path) override;
  [[nodiscard]] Result<std::vector<Entry>> list(std::string_view path) override;
  [[nodiscard]] Status sync_directory(std::string_view path) override;

 private:
  class Plan;
  class FaultyFile;
  FileIo& wrapped_;
  const std::shared_ptr<Plan> plan_;
};

}  // namespace common::io
