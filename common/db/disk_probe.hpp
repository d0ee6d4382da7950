#pragma once

// A window on what a database does to its disk, for tests: it sees every write and sync in order,
// as the disk does (after page checksums), and can make them fail.

#include <cstddef>
#include <cstdint>
#include <span>

namespace common::db {

// The files of one database.
enum class DiskFile : std::uint8_t {
  Main,
  Wal,
  Journal,  // only while a database is being created
  Mark,     // the stable mark (stable_mark.hpp)
};

// Called before the operation, from whichever thread does it; must be safe from any thread and must
// not call the database. A non-zero errno is what the operation fails with, instead of happening.
class DiskProbe {
 public:
  virtual ~DiskProbe() = default;
  virtual int on_write(DiskFile file, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual int on_sync(DiskFile file) = 0;
  virtual int on_truncate(DiskFile file, std::uint64_t size) = 0;
};

}  // namespace common::db
