#pragma once

// One SQLite connection and the statements prepared on it. Internal to common/db: others see
// WriteTx and ReadTx (transaction.hpp).

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/clock.hpp"
#include "common/db/checksum_vfs.hpp"
#include "common/db/statement.hpp"

struct sqlite3;

namespace common::db {

// Not safe from two threads at once; each owner (writer, read pool, open) sees to that.
class Connection {
 public:
  enum class Access : std::uint8_t {
    Create,     // makes the file, with room for page checksums
    ReadWrite,  // must exist
    ReadOnly,   // must exist; can neither write nor checkpoint
  };
  [[nodiscard]] static Result<std::unique_ptr<Connection>> open(const std::string& path,
                                                                Access access,
                                                                std::shared_ptr<ChecksumVfs> vfs,
                                                                const Clock& clock);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The statement for `sql`, prepared at its first use and kept.
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  // Prepares and binds.
  template <typename... Values>
  [[nodiscard]] Result<Statement> query(std::string_view sql, const Values&... values) {
    TROTH_TRY(Statement statement, prepare(sql));
    statement.bind_all(values...);
    return statement;
  }
  // Prepares, binds and runs to the end.
  template <typename... Values>
  [[nodiscard]] Status run(std::string_view sql, const Values&... values) {
    TROTH_TRY(Statement statement, query(sql, values...));
    return statement.run();
  }
  // The one integer that a query answers (a pragma, a count); Internal if there is no row.
  [[nodiscard]] Result<std::int64_t> query_int64(std::string_view sql);
  // Any number of statements, uncached and without parameters: schemas and pragmas.
  [[nodiscard]] Status execute_script(std::string_view sql);

  // Rows changed by the last INSERT, UPDATE or DELETE.
  [[nodiscard]] std::int64_t changes() const;
  // False after SQLite itself rolled a failed transaction back.
  [[nodiscard]] bool in_transaction() const;
  // Rolls the transaction back, if there is one.
  void give_transaction_up();
  [[nodiscard]] int reserved_bytes() const;

  // From now on statements fail with DeadlineExceeded after this instant, also in mid-step.
  void set_deadline(std::optional<Instant> deadline);
  [[nodiscard]] std::optional<Instant> deadline() const { return deadline_; }
  [[nodiscard]] Status check_time() const;

  // Copies the WAL into the database as far as readers allow. Pages in the WAL and copied ones.
  struct Checkpoint {
    int wal_pages = 0;
    int copied_pages = 0;
  };
  enum class CheckpointMode : std::uint8_t { Passive, Truncate };
  [[nodiscard]] Result<Checkpoint> checkpoint(CheckpointMode mode);
  // Pages in the WAL after the last commit of this connection.
  [[nodiscard]] int wal_pages() const { return wal_pages_; }

  // The worst that was seen since the last call, whether or not anybody looked at its error:
  // damaged pages, and for a writer any failure of the disk other than being full.
  [[nodiscard]] std::optional<Error> take_damage();

  // Whether the last failure can strike in a COMMIT after its record is in the WAL: SQLite then
  // enters it into the WAL's index, which takes memory and room of its own.
  [[nodiscard]] bool failed_beside_the_wal() const { return failed_beside_the_wal_; }

  // Translates an SQLite result code, and notes damage. Does not throw: without memory the error
  // has no message.
  [[nodiscard]] Error error_of(int result_code, std::string_view doing);

 private:
  Connection(Access access, std::shared_ptr<ChecksumVfs> vfs, const Clock& clock)
      : access_(access), vfs_(std::move(vfs)), clock_(clock) {}
  [[nodiscard]] Status set_up();
  [[nodiscard]] Status keep_ready();
  static int progress(void* connection);
  static int after_commit(void* connection, sqlite3* database, const char* name, int pages);

  struct Cached {
    sqlite3_stmt* prepared = nullptr;
    bool in_use = false;
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  const Access access_;
  const std::shared_ptr<ChecksumVfs> vfs_;
  const Clock& clock_;
  sqlite3* database_ = nullptr;
  std::unordered_map<std::string, Cached, TextHash, std::equal_to<>> statements_;
  std::optional<Instant> deadline_;
  std::optional<Error> damage_;
  int wal_pages_ = 0;
  bool failed_beside_the_wal_ = false;
};

// A transaction on a connection: rolled back by the destructor unless committed.
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Connection& connection);
  Transaction(Transaction&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // On failure the transaction has been rolled back, or its outcome is unknown (OutcomeUnknown).
  [[nodiscard]] Status commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

// Part of a transaction: undone by the destructor unless released.
class Savepoint {
 public:
  [[nodiscard]] static Result<Savepoint> begin(Connection& connection);
  Savepoint(Savepoint&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Savepoint& operator=(Savepoint&&) = delete;
  ~Savepoint();
  [[nodiscard]] Status release();

 private:
  explicit Savepoint(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace common::db
