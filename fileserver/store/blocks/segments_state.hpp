#pragma once

// The insides of Segments, for its own sources: segments.cpp (opening, reading, syncing, deleting)
// and segments_append.cpp (writing).

#include <map>

#include "common/sync/locked.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/store/blocks/segments.hpp"

namespace fileserver::store {

struct Segments::State {
  // One segment. Reached only under the lock of the table.
  struct Entry {
    std::shared_ptr<common::io::File> file;             // null: not open at the moment
    std::shared_ptr<const common::crypto::Secret> key;  // from the beginning; null: not sealed
    std::uint64_t end = 0;                              // what is reserved ends here
    std::uint64_t allocated = 0;                        // room is reserved on the disk up to here
    std::uint64_t written_back = 0;                     // the kernel was asked to write up to here
    std::uint64_t written = 0;                          // appends that are done
    std::uint64_t synced = 0;                           // of them, those before the last good sync
    std::uint64_t last_used = 0;
    std::uint32_t in_flight = 0;  // appends that have reserved and not finished
    bool writable = false;        // `file` is
    bool closed = true;
    bool header_ok = true;
    bool needs_cut = false;  // something may lie behind `end`
  };

  struct Table {
    std::map<std::uint32_t, Entry> entries;
    std::uint32_t active = 0;  // 0: the next append begins one
    std::uint32_t next_number = 1;
    std::uint64_t uses = 0;
    bool directory_dirty = false;
    Status health;
  };

  // What a thread needs of a segment to use it without the lock.
  struct Handle {
    std::shared_ptr<common::io::File> file;
    std::shared_ptr<const common::crypto::Secret> key;
    std::uint64_t end = 0;
  };

  // A place that belongs to one append until it is finished.
  struct Reservation {
    std::uint32_t segment = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::size_t blocks = 0;
    Handle handle;
    std::uint64_t allocate_to = 0;  // 0: nothing to do
  };

  State(common::io::FileIo& io_, std::string directory_, SegmentOptions options_,
        const common::Clock& clock_)
      : io(io_), directory(std::move(directory_)), options(options_), clock(clock_) {}

  [[nodiscard]] std::string path(std::uint32_t segment) const;
  [[nodiscard]] Result<std::shared_ptr<const common::crypto::Secret>> key_of(
      std::uint32_t segment) const;
  [[nodiscard]] Status make_directory();
  [[nodiscard]] Status adopt(std::uint32_t segment);
  [[nodiscard]] Result<bool> check_header(common::io::File& file, std::uint32_t segment) const;
  [[nodiscard]] Result<Handle> open_segment(std::uint32_t segment);
  [[nodiscard]] Result<bool> read_unnamed(const Wanted& wanted);
  [[nodiscard]] Status begin_segment();
  [[nodiscard]] Result<std::unique_ptr<common::io::File>> make_file(std::uint32_t segment);
  [[nodiscard]] Result<Reservation> reserve(std::span<const PreparedBlock> blocks, UseOfRoom use);
  [[nodiscard]] Status write_bytes(common::io::File& file, std::uint64_t offset, ByteView bytes);
  [[nodiscard]] Status write(const Reservation& place, std::span<const PreparedBlock> blocks,
                             std::vector<Placement>& placements);
  void finish(const Reservation& place, const Status& outcome);
  static void close_idle_files(Table& table);
  void cut_if_idle(std::uint32_t segment);
  [[nodiscard]] Status poison(const common::Error& why);

  common::io::FileIo& io;
  const std::string directory;
  const SegmentOptions options;
  const common::Clock& clock;
  common::Locked<Table> table;
  // Held while a segment's file is made, so that only one is. Taken before the table's lock.
  common::Mutex making;
  // Held while much is written, which the kernel does one call at a time anyway. The last to be
  // taken.
  common::Mutex writing;
  // Held through a sync: a second one must not return before the first has told of a failure, since
  // the kernel reports it to one of them only. Taken before the table's lock.
  common::Mutex syncing;
};

}  // namespace fileserver::store
