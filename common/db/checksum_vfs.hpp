#pragma once

// The layer between SQLite and the system's files. It seals every page that goes to a main database
// file and verifies every page that comes from it, so a damaged page is an error
// (SQLITE_IOERR_DATA) and never an answer. It offers no memory mapping, which would go around it.
// Pages still in the WAL are covered by SQLite's own frame checksums when the WAL is recovered, and
// by nothing when they are read back before their checkpoint.

#include <memory>

#include "common/db/disk_probe.hpp"
#include "common/result.hpp"

namespace common::db {

// A registration with SQLite, ended by the destructor: every connection opened through it must be
// closed before. Without a probe, one registration is shared by the whole process.
class ChecksumVfs {
 public:
  [[nodiscard]] static Result<std::shared_ptr<ChecksumVfs>> shared();
  // For tests; the probe must outlive the object.
  [[nodiscard]] static Result<std::shared_ptr<ChecksumVfs>> with_probe(DiskProbe& probe);

  ~ChecksumVfs();
  ChecksumVfs(const ChecksumVfs&) = delete;
  ChecksumVfs& operator=(const ChecksumVfs&) = delete;

  // What sqlite3_open_v2 is given.
  [[nodiscard]] const char* name() const;

 private:
  struct Registration;
  explicit ChecksumVfs(std::unique_ptr<Registration> registration);
  [[nodiscard]] static Result<std::shared_ptr<ChecksumVfs>> make(DiskProbe* probe);
  const std::unique_ptr<Registration> registration_;
};

}  // namespace common::db
