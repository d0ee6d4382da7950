#include "common/io/faulty_file_io.hpp"

#include <array>
#include <cerrno>
#include <limits>

#include "common/sync/mutex.hpp"

namespace common::io {

// What goes wrong, and the count of what has happened so far.
class FaultyFileIo::Plan {
 public:
  void add(Fault fault) {
    MutexLock lock(mutex_);
    faults_.push_back({std::move(fault), 0});
  }
  void clear() {
    MutexLock lock(mutex_);
    faults_.clear();
    space_ = std::numeric_limits<std::uint64_t>::max();
  }
  void set_space(std::uint64_t bytes) {
    MutexLock lock(mutex_);
    space_ = bytes;
  }
  std::uint64_t calls(Operation operation) {
    MutexLock lock(mutex_);
    return calls_[static_cast<std::size_t>(operation)];
  }

  // Counts a call, runs the hooks that strike it, and returns the failure, if any.
  Status strike(Operation operation, std::string_view path) {
    TROTH_TRY(const std::size_t allowed, strike_write(operation, path, 0));
    static_cast<void>(allowed);
    return {};
  }

  // As strike, for `count` bytes about to be written; a failure that comes after some bytes is
  // returned as the number of bytes still to write, with `late` telling why.
  Result<std::size_t> strike_write(Operation operation, std::string_view path, std::size_t count,
                                   int* late = nullptr) {
    std::vector<std::function<void()>> hooks;
    int error_number = 0;
    std::size_t allowed = count;
    {
      MutexLock lock(mutex_);
      ++calls_[static_cast<std::size_t>(operation)];
      for (Armed& armed : faults_) {
        if (!hits(armed, operation, path))
          continue;
        if (armed.fault.before)
          hooks.push_back(armed.fault.before);
        if (armed.fault.error_number == 0 || error_number != 0)
          continue;
        error_number = armed.fault.error_number;
        allowed = std::min(allowed, armed.fault.bytes_before_error);
      }
      if (allowed > space_) {
        allowed = static_cast<std::size_t>(space_);
        error_number = ENOSPC;
      }
      space_ -= allowed;
    }
    for (const auto& hook : hooks)
      hook();
    if (error_number == 0)
      return count;
    if (late != nullptr && allowed > 0) {
      *late = error_number;
      return allowed;
    }
    return fail_errno(error_number, "{}", path);
  }

 private:
  struct Armed {
    Fault fault;
    std::uint64_t seen = 0;
  };
  static bool hits(Armed& armed, Operation operation, std::string_view path) {
    const Fault& fault = armed.fault;
    if (fault.operation != operation)
      return false;
    if (path.find(fault.path_contains) == std::string_view::npos)
      return false;
    ++armed.seen;
    return armed.seen >= fault.first && armed.seen - fault.first < fault.times;
  }

  Mutex mutex_;
  std::vector<Armed> faults_ GUARDED_BY(mutex_);
  std::uint64_t space_ GUARDED_BY(mutex_) = std::numeric_limits<std::uint64_t>::max();
  std::array<std::uint64_t, static_cast<std::size_t>(Operation::DropCached) + 1> calls_
      GUARDED_BY(mutex_){};
};

class FaultyFileIo::FaultyFile final : public File {
 public:
  FaultyFile(std::unique_ptr<File> file, std::shared_ptr<Plan> plan, std::string path)
      : file_(std::move(file)), plan_(std::move(plan)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    TROTH_TRY_VOID(plan_->strike(Operation::Read, path_));
    return file_->read_at(offset, into);
  }
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    int late = 0;
    TROTH_TRY(const std::size_t allowed,
              plan_->strike_write(Operation::Write, path_, bytes.size(), &late));
    TROTH_TRY_VOID(file_->write_at(offset, bytes.first(allowed)));
    if (late != 0)
      return fail_errno(late, "{}", path_);
    return {};
  }
  Result<std::uint64_t> append(std::span<const std::byte> bytes) override {
    int late = 0;
    TROTH_TRY(const std::size_t allowed,
              plan_->strike_write(Operation::Append, path_, bytes.size(), &late));
    TROTH_TRY(const std::uint64_t begin, file_->append(bytes.first(allowed)));
    if (late != 0)
      return fail_errno(late, "{}", path_);
    return begin;
  }
  Status sync() override {
    TROTH_TRY_VOID(plan_->strike(Operation::Sync, path_));
    return file_->sync();
  }
  Status truncate(std::uint64_t size) override {
    TROTH_TRY_VOID(plan_->strike(Operation::Truncate, path_));
    return file_->truncate(size);
  }
  Result<std::uint64_t> size() override {
    TROTH_TRY_VOID(plan_->strike(Operation::Size, path_));
    return file_->size();
  }
  Status allocate(std::uint64_t size) override { return file_->allocate(size); }
  void start_writeback(std::uint64_t offset, std::uint64_t length) override {
    file_->start_writeback(offset, length);
  }
  void drop_cached() override {
    static_cast<void>(plan_->strike(Operation::DropCached, path_));
    file_->drop_cached();
  }

 private:
  const std::unique_ptr<File> file_;
  const std::shared_ptr<Plan> plan_;
  const std::string path_;
};

FaultyFileIo::FaultyFileIo(FileIo& wrapped) : wrapped_(wrapped), plan_(std::make_shared<Plan>()) {}
FaultyFileIo::~FaultyFileIo() = default;

void FaultyFileIo::add(Fault fault) {
  plan_->add(std::move(fault));
}
void FaultyFileIo::clear() {
  plan_->clear();
}
void FaultyFileIo::set_space(std::uint64_t bytes) {
  plan_->set_space(bytes);
}
std::uint64_t FaultyFileIo::calls(Operation operation) const {
  return plan_->calls(operation);
}

Result<std::unique_ptr<File>> FaultyFileIo::open(std::string_view path, OpenMode mode) {
  TROTH_TRY_VOID(plan_->strike(Operation::Open, path));
  TROTH_TRY(auto file, wrapped_.open(path, mode));
  return std::make_unique<FaultyFile>(std::move(file), plan_, std::string(path));
}
Status FaultyFileIo::rename(std::string_view from, std::string_view to) {
  TROTH_TRY_VOID(plan_->strike(Operation::Rename, from));
  return wrapped_.rename(from, to);
}
Status FaultyFileIo::unlink(std::string_view path) {
  TROTH_TRY_VOID(plan_->strike(Operation::Unlink, path));
  return wrapped_.unlink(path);
}
Status FaultyFileIo::make_directory(std::string_view path) {
  TROTH_TRY_VOID(plan_->strike(Operation::MakeDirectory, path));
  return wrapped_.make_directory(path);
}
Status FaultyFileIo::remove_directory(std::string_view path) {
  TROTH_TRY_VOID(plan_->strike(Operation::RemoveDirectory, path));
  return wrapped_.remove_directory(path);
}
Result<std::vector<Entry>> FaultyFileIo::list(std::string_view path) {
  TROTH_TRY_VOID(plan_->strike(Operation::List, path));
  return wrapped_.list(path);
}
Status FaultyFileIo::sync_directory(std::string_view path) {
  TROTH_TRY_VOID(plan_->strike(Operation::SyncDirectory, path));
  return wrapped_.sync_directory(path);
}

}  // namespace common::io
