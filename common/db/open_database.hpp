#pragma once

// What happens between a path and a database that may be served: making it, or finding out whether
// it is whole, ours, new enough and not too new. Internal to common/db.

#include <memory>
#include <span>

#include "common/db/database.hpp"
#include "common/db/stable_mark.hpp"
#include "common/io/lock_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/io/unique_fd.hpp"

namespace common::db {

// A database ready for its threads. Its state is durable, whatever it was before.
struct OpenedDatabase {
  std::unique_ptr<io::LockFile> lock;
  std::unique_ptr<io::PosixFileIo> directory;
  std::shared_ptr<ChecksumVfs> vfs;
  std::unique_ptr<Connection> writer;
  std::unique_ptr<StableMark> mark;
  UniqueFd wal;
  std::uint64_t commits = 0;
  std::uint64_t marked = 0;  // of them, those that the mark told of
};

[[nodiscard]] Result<OpenedDatabase> open_database(const std::string& path, const Options& options,
                                                   std::span<const Migration> migrations,
                                                   const Clock& clock);

// PRAGMA quick_check or integrity_check; Corrupt with the first finding.
[[nodiscard]] Status check_structure(Connection& connection, Database::CheckDepth depth);

}  // namespace common::db
