#pragma once

// A simulated disk with a file system on it: what an fdatasync has promised survives, everything
// else may or may not.
//
// The model is the weakest that POSIX allows, not what one kernel happens to do:
//  - Written bytes are visible at once and survive the death of the process. A power cut keeps an
//    arbitrary subset of the writes since the file's last sync; a write may be torn at each
//    512-byte sector, and one that makes the file longer may leave any byte length, or zeros or
//    junk where data did not arrive.
//  - sync() covers a file's bytes and length, not its name. Creating, renaming and removing are
//    atomic each, and survive a power cut surely only after sync_directory().
//  - A sync that fails has cleaned the pages: the next sync succeeds, and the data may still be
//  lost.
//
// Not thread-safe. All calls are instantaneous to the caller; DiskHost accounts for the time and
// may let the machine die at any of them.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "common/sim/random.hpp"

namespace common::sim {

enum class DiskOp : std::uint8_t {
  Open,
  Read,
  Write,
  Truncate,
  Sync,
  Rename,
  Remove,
  SyncDirectory
};

// Told of each operation before it happens.
class DiskHost {
 public:
  virtual ~DiskHost() = default;
  // Accounts for the time. False: the machine dies during this operation, which may take effect in
  // part and returns ErrorCode::Cancelled; so does everything after it.
  virtual bool before(DiskOp op, std::uint64_t bytes) = 0;
};

class SimDisk {
 public:
  static constexpr std::size_t kSector = 512;  // what a drive writes whole or not at all
  // Paths are plain names with '/' between parts, without a leading one; "" is the root directory.

  struct OpenMode {
    bool create = false;
    bool exclusive = false;  // with create: AlreadyExists if it does
    bool truncate = false;
  };
  using File = std::uint32_t;  // an open handle; all are closed when the process dies

  // Everything that would be there after a power cut that loses all that may be lost.
  struct Image {
    std::map<std::string, std::vector<std::byte>, std::less<>> files;
    std::vector<std::string> directories;
  };

  // `host` may be null (no time passes, nothing dies). `capacity` in bytes of file data.
  explicit SimDisk(std::uint64_t seed, DiskHost* host = nullptr,
                   std::uint64_t capacity = std::uint64_t{1} << 40);

  // --- what code under test calls ---
  Result<File> open(std::string_view path, OpenMode mode);
  void close(File file);
  // Bytes read, less than asked only at the end of the file.
  Result<std::size_t> read(File file, std::uint64_t offset, std::span<std::byte> into);
  // All or an error; after NoSpace or Cancelled a prefix may have been written. Writing beyond the
  // end fills the gap with zeros.
  Status write(File file, std::uint64_t offset, std::span<const std::byte> bytes);
  Status truncate(File file, std::uint64_t size);
  Status sync(File file);
  Result<std::uint64_t> size(File file);
  Status rename(std::string_view from, std::string_view to);
  Status remove(std::string_view path);
  Status sync_directory(std::string_view directory);
  Status make_directory(std::string_view path);
  Status remove_directory(std::string_view path);
  struct Listed {
    std::string name;
    bool is_directory = false;
  };
  // In byte order of the names.
  Result<std::vector<Listed>> list(std::string_view directory);
  [[nodiscard]] bool exists(std::string_view path) const;
  [[nodiscard]] bool is_directory(std::string_view path) const;

  // A sync that overlaps with other work: data written up to begin_sync() is stable once
  // finish_sync() with its answer has succeeded.
  Result<std::uint64_t> begin_sync(File file);
  Status finish_sync(File file, std::uint64_t ticket);

  // --- what the simulator calls ---
  void kill();       // the process died: handles are closed, nothing is lost
  void power_cut();  // the machine died
  void restore(const Image& image);
  [[nodiscard]] Image stable_image() const;
  // Flips one stored bit, chosen by `choice`; false if there is nothing to flip.
  bool corrupt(std::uint64_t choice);
  void fail_next_sync() { ++sync_errors_; }
  void lose_next_write() { ++lost_writes_; }
  void clear_one_shot_faults() { sync_errors_ = lost_writes_ = 0; }
  void set_write_errors(bool on) { write_errors_ += on ? 1 : -1; }
  void set_read_errors(bool on) { read_errors_ += on ? 1 : -1; }
  void set_full(bool on) { full_ += on ? 1 : -1; }

  struct Counters {
    std::uint64_t operations = 0;
    std::uint64_t syncs = 0;
    std::uint64_t writes_lost = 0;  // wholly, by power cuts
    std::uint64_t writes_torn = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::uint64_t used() const { return used_; }
  // Grows whenever all handles are closed at once.
  [[nodiscard]] std::uint64_t life() const { return life_; }

 private:
  using Bytes = std::vector<std::byte>;
  struct Pending {
    std::uint64_t number = 0;
    std::uint64_t offset = 0;
    Bytes bytes;  // empty and `truncation` set: the size becomes `offset`
    bool truncation = false;
  };
  struct Inode {
    Bytes current;
    Bytes stable;
    std::vector<Pending> pending;
    bool directory = false;  // then only its name matters
  };
  using InodePointer = std::shared_ptr<Inode>;
  struct NameChange {
    std::string path;
    InodePointer inode;  // null: the name is gone
  };
  // One atomic step on names. Syncing the directory of any of the first `own` makes it stable; the
  // others are what lies below a directory that moved.
  struct NameStep {
    std::vector<NameChange> changes;
    std::size_t own = 1;
  };
  using Names = std::map<std::string, InodePointer, std::less<>>;

  bool alive(DiskOp op, std::uint64_t bytes);
  Result<InodePointer> inode_of(File file) const;
  void change_names(NameStep step);
  void apply_write(Inode& inode, std::uint64_t offset, std::span<const std::byte> bytes,
                   bool reaches_medium);
  void cut_file(Inode& inode);
  void tear(const Pending& write, Bytes& into);
  void recount();
  Status may_change_name(DiskOp op, std::string_view what, std::string_view path);
  Status check_rename(std::string_view from, std::string_view to) const;
  void drop_orphans(Names& names) const;
  static void place(Bytes& into, std::uint64_t offset, std::span<const std::byte> bytes);
  static void apply(const Pending& change, Bytes& into);
  static void apply(const NameStep& step, Names& names);
  static std::string_view directory_of(std::string_view path);

  Random random_;
  DiskHost* host_;
  std::uint64_t capacity_;
  std::uint64_t used_ = 0;
  Names names_;
  Names stable_names_;
  std::vector<NameStep> pending_names_;
  std::vector<InodePointer> handles_;
  std::uint64_t next_number_ = 1;
  std::uint32_t sync_errors_ = 0;
  std::uint32_t lost_writes_ = 0;
  int write_errors_ = 0;
  int read_errors_ = 0;
  int full_ = 0;
  Counters counters_;
  std::uint64_t life_ = 0;
};

}  // namespace common::sim
