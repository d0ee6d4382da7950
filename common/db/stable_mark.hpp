#pragma once

// How far a database was known to be on the disk, kept outside of it: a damaged WAL makes SQLite
// fall back to an older state without a word, and only somebody who remembers can tell.

#include <memory>
#include <string>

#include "common/db/disk_probe.hpp"
#include "common/db/page_checksum.hpp"
#include "common/io/file_io.hpp"

namespace common::db {

// A file of two sealed pages, written in turn and synced each time, so a torn write never takes the
// newer of them. Used by one thread at a time; every call blocks on the disk.
class StableMark {
 public:
  struct State {
    std::uint64_t database_id = 0;
    std::uint64_t stable = 0;  // number of a commit that has reached the disk
    bool clean = false;        // the database was closed in order since its last write
  };

  // A new mark of commit 0, durable once this returns; replaces an older file. `clean`: whether its
  // database needs no check.
  [[nodiscard]] static Status create(io::FileIo& io, const std::string& name,
                                     std::uint64_t database_id, bool clean);
  // NotFound without the file, Corrupt if neither page is intact.
  [[nodiscard]] static Result<std::unique_ptr<StableMark>> open(io::FileIo& io,
                                                                const std::string& name,
                                                                DiskProbe* probe);

  [[nodiscard]] const State& state() const { return state_; }

  // On the disk once this returns success; after a failure the mark reads as before or as now.
  [[nodiscard]] Status record(std::uint64_t stable, bool clean);

 private:
  StableMark(std::unique_ptr<io::File> file, DiskProbe* probe)
      : file_(std::move(file)), probe_(probe) {}

  const std::unique_ptr<io::File> file_;
  DiskProbe* const probe_;
  State state_;
  std::uint64_t generation_ = 0;  // of the newest intact page; odd ones are in the second
};

}  // namespace common::db
