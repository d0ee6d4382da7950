#pragma once

// A database in a directory of its own, and a disk that records or refuses.

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "common/db/database.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/test.hpp"

namespace db_test {

using namespace std::chrono_literals;
using common::Duration;
using common::ErrorCode;
using common::Instant;
using common::Result;
using common::Status;
using common::db::Database;
using common::db::DiskFile;
using common::db::Migration;
using common::db::Options;
using common::db::ReadTx;
using common::db::WriteTx;

inline const common::SystemClock& system_clock() {
  static const common::SystemClock clock;
  return clock;
}

inline Instant soon(Duration patience = 30s) {
  return system_clock().now() + patience;
}

struct TemporaryDirectory {
  std::string path;
  explicit TemporaryDirectory(const std::string& below = std::filesystem::temp_directory_path())
      : path(below + "/troth-db-XXXXXX") {
    if (::mkdtemp(path.data()) == nullptr)
      std::abort();
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] std::string db() const { return path + "/test.db"; }
};

inline void flip_bit(const std::string& path, std::size_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  char byte = 0;
  file.seekg(static_cast<std::streamoff>(bit / 8)).get(byte);
  byte = static_cast<char>(byte ^ (1 << (bit % 8)));
  file.seekp(static_cast<std::streamoff>(bit / 8)).put(byte);
}

inline constexpr Migration kSchema[] = {
    {"CREATE TABLE entry(key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;"}};

inline Result<std::unique_ptr<Database>> open_db(const TemporaryDirectory& directory,
                                                 Options options = {}) {
  options.application_id = 0x74657374;
  return Database::open(directory.db(), std::move(options), kSchema, system_clock());
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline Result<std::uint64_t> put(Database& db, std::int64_t key, std::string_view value,
                                 std::optional<Instant> deadline = std::nullopt) {
  return db.commit(
      [&](WriteTx& tx) {
        return tx.run("INSERT INTO entry VALUES (?1, ?2)", key, bytes_of(value));
      },
      deadline);
}

inline Result<std::int64_t> count(Database& db) {
  return db.read([](ReadTx& tx) -> Result<std::int64_t> {
    TROTH_TRY(auto row, tx.query("SELECT count(*) FROM entry"));
    TROTH_TRY(const bool found, row.step());
    return found ? row.column_int64(0) : -1;
  });
}

inline Result<std::string> get(Database& db, std::int64_t key) {
  return db.read([&](ReadTx& tx) -> Result<std::string> {
    TROTH_TRY(auto row, tx.query("SELECT value FROM entry WHERE key = ?1", key));
    TROTH_TRY(const bool found, row.step());
    if (!found)
      return common::fail(ErrorCode::NotFound, "no entry {}", key);
    const auto blob = row.column_blob(0);
    return std::string(reinterpret_cast<const char*>(blob.data()), blob.size());
  });
}

// A disk that does what it is told; by default nothing special.
class ScriptedDisk final : public common::db::DiskProbe {
 public:
  struct Script {
    std::function<int(DiskFile, std::size_t)> write;  // number of bytes -> errno or 0
    std::function<int(DiskFile)> sync;
  };
  void set(Script script) { *script_.lock() = std::move(script); }

  int on_write(DiskFile file, std::uint64_t, std::span<const std::byte> bytes) override {
    const auto write = script_.lock()->write;
    return write ? write(file, bytes.size()) : 0;
  }
  int on_sync(DiskFile file) override {
    const auto sync = script_.lock()->sync;
    return sync ? sync(file) : 0;
  }
  int on_truncate(DiskFile, std::uint64_t) override { return 0; }

 private:
  common::Locked<Script> script_;
};

}  // namespace db_test
