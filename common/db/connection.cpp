#include "common/db/connection.hpp"

#include <sqlite3.h>

#include <new>

#include "common/db/page_checksum.hpp"

namespace common::db {
namespace {

// Statements come from constants in our code, some tens per database; more means that somebody
// builds SQL from values. Beyond it statements still work, prepared at each use.
constexpr std::size_t kMaxCachedStatements = 256;

// How many steps of SQLite's machine pass between two looks at the clock: some 20 µs.
constexpr int kStepsPerProgress = 1000;

// A lock inside the process is held for microseconds (a WAL being reset); other processes are kept
// out by the lock file. Longest it takes a checkpoint that waits for readers to end.
constexpr int kBusyTimeoutMs = 250;

ErrorCode code_of(int result_code) {
  switch (result_code) {
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_CORRUPTFS:
      return ErrorCode::Corrupt;
    case SQLITE_IOERR_NOMEM:
      return ErrorCode::ResourceExhausted;
    // The WAL's index grows by writing one byte at the end of its file; nearly always a full disk.
    case SQLITE_IOERR_SHMSIZE:
      return ErrorCode::NoSpace;
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_ROWID:
      return ErrorCode::AlreadyExists;
    default:
      break;
  }
  switch (result_code & 0xff) {
    case SQLITE_FULL:
      return ErrorCode::NoSpace;
    case SQLITE_NOMEM:
      return ErrorCode::ResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::Corrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::Busy;
    case SQLITE_CONSTRAINT:
      return ErrorCode::Conflict;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorCode::PermissionDenied;
    case SQLITE_TOOBIG:
      return ErrorCode::TooLarge;
    case SQLITE_INTERRUPT:
      return ErrorCode::DeadlineExceeded;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
      return ErrorCode::IoError;
    default:
      return ErrorCode::Internal;  // SQL that does not compile, misuse: bugs of ours
  }
}

int open_flags(Connection::Access access) {
  // One connection is never used by two threads at once, so SQLite need not lock it.
  constexpr int kCommon = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
  switch (access) {
    case Connection::Access::Create:
      return kCommon | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    case Connection::Access::ReadWrite:
      return kCommon | SQLITE_OPEN_READWRITE;
    case Connection::Access::ReadOnly:
      return kCommon | SQLITE_OPEN_READONLY;
  }
  return kCommon | SQLITE_OPEN_READONLY;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Access access,
                                                     std::shared_ptr<ChecksumVfs> vfs,
                                                     const Clock& clock) {
  std::unique_ptr<Connection> connection(new Connection(access, std::move(vfs), clock));
  const int rc = sqlite3_open_v2(path.c_str(), &connection->database_, open_flags(access),
                                 connection->vfs_->name());
  if (rc != SQLITE_OK)
    return tl::unexpected(connection->error_of(rc, "opening " + path));
  TROTH_TRY_VOID(connection->set_up());
  return connection;
}

Status Connection::keep_ready() {
  // Undoing must not depend on memory being there just then.
  for (const char* sql : {"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT part",
                          "ROLLBACK TO part", "RELEASE part"}) {
    TROTH_TRY(const Statement ready, prepare(sql));
  }
  return {};
}

Status Connection::set_up() {
  sqlite3_busy_timeout(database_, kBusyTimeoutMs);
  sqlite3_progress_handler(database_, kStepsPerProgress, &Connection::progress, this);
  // The schema is ours and holds no functions or triggers of strangers; a damaged one must not gain
  // any powers.
  sqlite3_db_config(database_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_ENABLE_FKEY, 1, nullptr);
  // Debian's SQLite has no lookaside by default; small allocations of a statement come from here.
  sqlite3_db_config(database_, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 512, 128);
  if (access_ == Access::Create) {
    int reserve = static_cast<int>(kChecksumSize);
    const int rc = sqlite3_file_control(database_, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    if (rc != SQLITE_OK)
      return tl::unexpected(error_of(rc, "reserving bytes for checksums"));
  }
  if (access_ == Access::ReadWrite) {
    // The WAL's file stays when the last connection closes, so its name in the directory, once
    // synced, needs no care again.
    int keep = 1;
    sqlite3_file_control(database_, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    // In place of SQLite's own, which would copy the WAL at a commit of its choosing.
    sqlite3_wal_hook(database_, &Connection::after_commit, this);
  }
  // Nobody but the writer copies pages from the WAL, and it does so when it chooses.
  sqlite3_db_config(database_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return keep_ready();
}

Connection::~Connection() {
  for (auto& [sql, cached] : statements_)
    sqlite3_finalize(cached.prepared);
  sqlite3_close_v2(database_);
}

int Connection::progress(void* connection) {
  return static_cast<const Connection*>(connection)->check_time() ? 0 : 1;
}

int Connection::after_commit(void* connection, sqlite3*, const char*, int pages) {
  static_cast<Connection*>(connection)->wal_pages_ = pages;
  return SQLITE_OK;
}

Result<Statement> Connection::prepare(std::string_view sql) {
  auto entry = statements_.find(sql);
  if (entry != statements_.end() && !entry->second.in_use) {
    entry->second.in_use = true;
    return Statement(*this, entry->second.prepared, &entry->second.in_use);
  }
  const bool keep = entry == statements_.end() && statements_.size() < kMaxCachedStatements;
  sqlite3_stmt* prepared = nullptr;
  const int rc = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                    keep ? SQLITE_PREPARE_PERSISTENT : 0, &prepared, nullptr);
  if (rc != SQLITE_OK)
    return tl::unexpected(error_of(rc, sql));
  if (prepared == nullptr)
    return fail(ErrorCode::Internal, "no statement in \"{}\"", sql);
  Statement statement(*this, prepared, nullptr);
  if (!keep)
    return statement;
  // Until it has its place, it is finalized with `statement`: making the place may throw.
  entry = statements_.emplace(std::string(sql), Cached{prepared, true}).first;
  statement.keep(entry->second.in_use);
  return statement;
}

Result<std::int64_t> Connection::query_int64(std::string_view sql) {
  TROTH_TRY(Statement statement, prepare(sql));
  TROTH_TRY(const bool row, statement.step());
  if (!row)
    return fail(ErrorCode::Internal, "no row from \"{}\"", sql);
  return statement.column_int64(0);
}

Status Connection::execute_script(std::string_view sql) {
  const std::string text(sql);
  const int rc = sqlite3_exec(database_, text.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK)
    return tl::unexpected(error_of(rc, "running a script"));
  return {};
}

std::int64_t Connection::changes() const {
  return sqlite3_changes64(database_);
}

void Connection::give_transaction_up() {
  // Should it fail, Transaction tries again.
  if (in_transaction())
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
}

bool Connection::in_transaction() const {
  return sqlite3_get_autocommit(database_) == 0;
}

int Connection::reserved_bytes() const {
  int reserve = -1;  // ask, do not set
  sqlite3_file_control(database_, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
  return reserve;
}

void Connection::set_deadline(std::optional<Instant> deadline) {
  deadline_ = deadline;
}

Status Connection::check_time() const {
  if (deadline_ && clock_.now() >= *deadline_) {
    return fail(ErrorCode::DeadlineExceeded, "the transaction's time is over");
  }
  return {};
}

Result<Connection::Checkpoint> Connection::checkpoint(CheckpointMode mode) {
  Checkpoint done;
  const int rc = sqlite3_wal_checkpoint_v2(
      database_, "main",
      mode == CheckpointMode::Passive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE,
      &done.wal_pages, &done.copied_pages);
  if (rc != SQLITE_OK)
    return tl::unexpected(error_of(rc, "copying the WAL into the database"));
  return done;
}

std::optional<Error> Connection::take_damage() {
  return std::exchange(damage_, std::nullopt);
}

Error Connection::error_of(int result_code, std::string_view doing) {
  // The message belongs to the failing call only if the connection still remembers that call.
  const bool current = database_ != nullptr && sqlite3_extended_errcode(database_) == result_code;
  const char* const text = current ? sqlite3_errmsg(database_) : sqlite3_errstr(result_code);
  const ErrorCode code = code_of(result_code);
  failed_beside_the_wal_ =
      code == ErrorCode::ResourceExhausted || result_code == SQLITE_IOERR_SHMSIZE;
  const bool disk_failed = code == ErrorCode::IoError && access_ != Access::ReadOnly;
  const bool is_damage = (code == ErrorCode::Corrupt || disk_failed) && !damage_;
  // Before anything that takes memory: what failed matters more than its description.
  if (is_damage)
    damage_.emplace(Error{code, {}});
  Error error{code, {}};
  try {
    const char* const found =
        code == ErrorCode::Corrupt ? "a damaged page or record was found: " : "";
    error.message =
        fmt::format("{}{} (SQLite {}), in: {}", found, text, result_code, doing.substr(0, 200));
    if (is_damage)
      damage_->message = error.message;
  } catch (const std::bad_alloc&) {
    static_cast<void>(text);  // the code alone, then
  }
  return error;
}

Result<Transaction> Transaction::begin(Connection& connection) {
  // Left over only if undoing the last one failed; without this, none could ever begin again.
  if (connection.in_transaction())
    TROTH_TRY_VOID(connection.run("ROLLBACK"));
  TROTH_TRY_VOID(connection.run("BEGIN IMMEDIATE"));
  return Transaction(connection);
}

Transaction::~Transaction() {
  if (connection_ == nullptr || !connection_->in_transaction())
    return;
  connection_->set_deadline(std::nullopt);
  // Should it fail, the next begin() tries again before anything else happens.
  try {
    static_cast<void>(connection_->run("ROLLBACK"));
  } catch (const std::bad_alloc&) {
    return;
  }
}

Status Transaction::commit() {
  Status committed = connection_->run("COMMIT");
  if (committed) {
    connection_ = nullptr;
    return {};
  }
  // The commit record may or may not have reached the WAL.
  if (committed.error().code == ErrorCode::IoError) {
    committed.error().code = ErrorCode::OutcomeUnknown;
  }
  return committed;
}

Result<Savepoint> Savepoint::begin(Connection& connection) {
  TROTH_TRY_VOID(connection.run("SAVEPOINT part"));
  return Savepoint(connection);
}

Savepoint::~Savepoint() {
  if (connection_ == nullptr || !connection_->in_transaction())
    return;
  // Undoing is not a matter of time.
  const auto deadline = connection_->deadline();
  connection_->set_deadline(std::nullopt);
  bool undone = false;
  try {
    undone = connection_->run("ROLLBACK TO part").has_value();
    undone = connection_->run("RELEASE part").has_value() && undone;
  } catch (const std::bad_alloc&) {
    undone = false;
  }
  // What cannot be undone alone must not be committed with the others.
  if (!undone)
    connection_->give_transaction_up();
  connection_->set_deadline(deadline);
}

Status Savepoint::release() {
  TROTH_TRY_VOID(connection_->run("RELEASE part"));
  connection_ = nullptr;
  return {};
}

}  // namespace common::db
