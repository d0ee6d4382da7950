#include "kdc/database.hpp"

#include <limits>

#include "common/failpoint/failpoint.hpp"
#include "common/log/log.hpp"
#include "kdc/first_start.hpp"
#include "kdc/open_file.hpp"
#include "kdc/private_file.hpp"
#include "kdc/schema.sql.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::cell::FirstContents;
using common::crypto::Secret;
using common::db::ReadTx;
using common::db::WriteTx;

// Where each user stands among those from whom decoys take their parameters (decoy.cpp). The
// product fits 63 bits, since an id has 31.
constexpr std::string_view kRingOfUsers =
    "DROP INDEX key_of_users;"
    "CREATE INDEX ring_of_users ON key((principal * 2654435761) & 4294967295) "
    "WHERE purpose = 1 AND state = 1;";
constexpr common::db::Migration kMigrations[] = {{kSchemaSql}, {kRingOfUsers}};

// A walk through everything (a dump) is a long read.
constexpr std::chrono::seconds kLongestRead{60};
// Stored results of operations are for repetitions of a request whose answer was lost.
constexpr Millis kOperationKept = std::chrono::days(7);
constexpr std::uint64_t kMostOperations = 100'000;
// Where trimming stops, so that it is not begun for each one.
constexpr std::uint64_t kFewerOperations = 90'000;

struct Paths {
  std::string database;
  std::string stash;
  std::string first;
};

Paths paths_of(const DatabaseOptions& options) {
  const auto in = [&](std::string_view name) {
    return options.directory + "/" + std::string(name);
  };
  return {
      .database = in(kDatabaseFile),
      .stash = in(kMasterKeyFile),
      .first = options.first_contents.empty() ? in(kFirstContentsFile) : options.first_contents};
}

Result<FirstContents> read_first_contents(const std::string& path, const std::string& cell) {
  TROTH_TRY(const Secret bytes, read_private_file(path, common::cell::kMostFirstContents));
  auto contents = common::cell::decode_first_contents(bytes.bytes());
  if (!contents)
    return tl::unexpected(contents.error().in(path));
  if (contents->cell != cell) {
    return fail(ErrorCode::InvalidArgument, "{} is for cell {}, not for {}", path, contents->cell,
                cell);
  }
  return contents;
}

// The stash as the first contents want it, or as an earlier start that was stopped left it.
Result<MasterKeys> make_stash(const std::string& path, const FirstContents& contents) {
  MasterKeys wanted(contents.cell);
  TROTH_TRY_VOID(wanted.add(1, contents.master_key));
  auto present = MasterKeys::load(path, contents.cell);
  if (!present && present.error().code == ErrorCode::NotFound) {
    TROTH_TRY_VOID(wanted.save(path));
    return wanted;
  }
  if (!present)
    return tl::unexpected(present.error());
  TROTH_TRY(const auto mine, wanted.fingerprint(1));
  const auto theirs = present->fingerprint(1);
  if (!theirs || !common::crypto::constant_time_equal(mine, *theirs)) {
    return fail(ErrorCode::AlreadyExists,
                "{} holds another master key than the first contents; it may be the only one that "
                "opens a database, so move it away yourself",
                path);
  }
  return wanted;
}

Status import(common::db::Database& db, const Paths& paths, const std::string& cell,
              const common::Clock& clock) {
  auto contents = read_first_contents(paths.first, cell);
  if (!contents) {
    if (contents.error().code == ErrorCode::NotFound) {
      return fail(ErrorCode::NotFound,
                  "the KDC has no principals yet and there is no {}; make the cell, or load a dump",
                  paths.first);
    }
    return tl::unexpected(contents.error());
  }
  TROTH_TRY(const MasterKeys masters, make_stash(paths.stash, *contents));
  TROTH_FAILPOINT_TRY("kdc.first.after_stash");
  TROTH_TRY(const std::uint64_t number, db.commit([&](WriteTx& tx) {
    return import_first_contents(tx, masters, *contents, time_now(clock));
  }));
  TROTH_FAILPOINT_TRY("kdc.first.after_import");
  // The file goes only when nothing can take the database back any more.
  return db.wait_stable(number, clock.now() + kSyncPatience);
}

// A file that is still there after the import: of a start that was stopped, or put there since.
Status end_first_contents(const Paths& paths, const std::string& cell, const MasterKeys& masters) {
  const auto contents = read_first_contents(paths.first, cell);
  if (!contents && contents.error().code == ErrorCode::NotFound)
    return {};
  // What cannot be read any more was being wiped.
  if (!contents && contents.error().code != ErrorCode::Corrupt)
    return tl::unexpected(contents.error());
  if (contents) {
    MasterKeys theirs(cell);
    TROTH_TRY_VOID(theirs.add(1, contents->master_key));
    TROTH_TRY(const auto fingerprint, theirs.fingerprint(1));
    const auto mine = masters.fingerprint(1);
    if (!mine || !common::crypto::constant_time_equal(fingerprint, *mine)) {
      return fail(ErrorCode::AlreadyExists,
                  "{} is there, but this KDC has its contents already; remove the file",
                  paths.first);
    }
  }
  return wipe_private_file(paths.first);
}

Status check_cell(ReadTx& tx, const std::string& cell, const std::string& path) {
  TROTH_TRY(auto row, tx.query("SELECT id FROM cell"));
  TROTH_TRY(const bool found, row.step());
  if (found && row.column_text(0) == cell)
    return {};
  return fail(ErrorCode::InvalidArgument, "{} belongs to cell {}, not to {}", path,
              found ? row.column_text(0) : "none", cell);
}

Result<Time> newest_record_of(ReadTx& tx) {
  TROTH_TRY(auto row, tx.query("SELECT at FROM audit WHERE seq = (SELECT head_seq FROM cell)"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Corrupt, "the audit log has lost its newest record");
  return time_from(row.column_int64(0));
}

Status trim_operations(Core& core) {
  const auto old = to_number(core.certain_now() - kOperationKept);
  const auto too_many = [](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row,
              tx.query("SELECT 1 WHERE (SELECT count(*) FROM operation) > ?1", kMostOperations));
    return row.step();
  };
  TROTH_TRY(const bool any, core.read([&](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row, tx.query("SELECT 1 FROM operation WHERE at < ?1 LIMIT 1", old));
    TROTH_TRY(const bool aged, row.step());
    return aged ? true : too_many(tx);
  }));
  if (!any)
    return {};
  return core.db()
      .commit([&](WriteTx& tx) -> Status {
        TROTH_TRY_VOID(tx.run("DELETE FROM operation WHERE at < ?1", old));
        TROTH_TRY(const bool many, too_many(tx));
        if (!many)
          return {};
        // Oldest first, of whoever has the most: what somebody asks for often costs nobody else
        // his. The actor is the end of an id (core.cpp).
        return tx.run(
            "DELETE FROM operation WHERE id IN (SELECT id FROM (SELECT id, at, row_number() OVER "
            "(PARTITION BY substr(id, 17) ORDER BY at DESC) AS place FROM operation) "
            "ORDER BY place DESC, at LIMIT (SELECT count(*) FROM operation) - ?1)",
            kFewerOperations);
      })
      .map([](std::uint64_t) {});
}

// In pieces, and more of them than can be written meanwhile: a log that grows faster than it is
// trimmed would fill the disk. Few enough for the watchdog, whatever a sync takes.
Status trim_audit(AuditLog& audit, Time now) {
  constexpr int kPiecesInARow = 20;
  // Each piece is recorded itself. Without some room beyond the cap, the record of one would be the
  // reason of the next, and a full log would be replaced by records of its own trimming.
  constexpr std::uint64_t kBeyondCap = 10'000;
  TROTH_TRY(const AuditLog::Range range, audit.range());
  const bool full = range.last - range.first >= kMostAudit + kBeyondCap;
  for (int i = 0; i < kPiecesInARow; ++i) {
    TROTH_TRY(const bool more,
              audit.trim(now - kAuditKept,
                         full ? kMostAudit : std::numeric_limits<std::uint64_t>::max()));
    if (!more)
      break;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<common::db::Database>> open_file(const DatabaseOptions& options,
                                                        const common::Clock& clock) {
  common::db::Options how;
  how.application_id = kDatabaseId;
  how.longest_read = kLongestRead;
  how.overwrite_deleted = true;
  how.probe = options.probe;
  return common::db::Database::open(paths_of(options).database, std::move(how), kMigrations, clock);
}

struct Database::Parts {
  Core core;
  Principals principals{core};
  Keys keys{core};
  Groups groups{core};
  Policies policies{core};
  Attempts attempts{core};
  AuditLog audit{core};
  MasterRollover rollover;
  bool closed = false;

  Parts(std::unique_ptr<common::db::Database> db, MasterKeys masters, DatabaseSecrets secrets,
        std::string stash, const common::Clock& clock, Time newest_record)
      : core(std::move(db), std::move(masters), std::move(secrets), clock, newest_record),
        rollover(core, std::move(stash)) {}
};

Database::Database(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Database::~Database() {
  if (const Status closed = close(); !closed)
    common::log::error("the KDC's database did not close well", {{"why", closed.error().message}});
}

Result<std::unique_ptr<Database>> Database::open(const DatabaseOptions& options,
                                                 const common::Clock& clock) {
  const Paths paths = paths_of(options);
  TROTH_TRY(auto db, open_file(options, clock));
  // All of it, at each start: a damaged page that is met at the first login leaves a service that
  // answers and lets nobody in. A full audit log takes some seconds.
  if (const Status whole = db->check(common::db::Database::CheckDepth::Quick); !whole) {
    return fail(whole.error().code, "{} is damaged and is not served: {}; restore it from a backup",
                paths.database, whole.error().message);
  }
  TROTH_TRY(const bool filled, has_contents(*db));
  if (!filled)
    TROTH_TRY_VOID(import(*db, paths, options.cell, clock));
  TROTH_TRY_VOID(
      db->read([&](ReadTx& tx) { return check_cell(tx, options.cell, paths.database); }));
  auto masters = MasterKeys::load(paths.stash, options.cell);
  if (!masters) {
    if (masters.error().code == ErrorCode::NotFound) {
      return fail(ErrorCode::NotFound,
                  "the file of master keys {} is missing: without it nothing in {} can be opened; "
                  "put it back",
                  paths.stash, paths.database);
    }
    return tl::unexpected(masters.error());
  }
  TROTH_TRY_VOID(
      db->read([&](ReadTx& tx) { return check_master_keys(tx, *masters, paths.stash); }));
  TROTH_TRY_VOID(end_first_contents(paths, options.cell, *masters));
  TROTH_TRY(const Secret secret,
            db->read([&](ReadTx& tx) { return open_database_secret(tx, *masters); }));
  TROTH_TRY(DatabaseSecrets secrets, derive_secrets(secret, options.cell));
  TROTH_TRY(const Time newest_record, db->read(newest_record_of));
  auto parts = std::make_unique<Parts>(std::move(db), *std::move(masters), std::move(secrets),
                                       paths.stash, clock, newest_record);
  TROTH_TRY_VOID(parts->attempts.load());
  return std::unique_ptr<Database>(new Database(std::move(parts)));
}

Principals& Database::principals() {
  return parts_->principals;
}
Keys& Database::keys() {
  return parts_->keys;
}
Groups& Database::groups() {
  return parts_->groups;
}
Policies& Database::policies() {
  return parts_->policies;
}
Attempts& Database::attempts() {
  return parts_->attempts;
}
AuditLog& Database::audit() {
  return parts_->audit;
}
MasterRollover& Database::master_rollover() {
  return parts_->rollover;
}
Core& Database::core() {
  return parts_->core;
}

Status Database::housekeeping() {
  Status first;
  const auto note = [&](const Status& status) {
    if (first && !status)
      first = status;
  };
  const auto drop = [](bool) {};
  note(parts_->audit.flush());
  note(parts_->keys.rotate_own_keys().map(drop));
  note(parts_->keys.destroy_ended().map(drop));
  note(parts_->rollover.step().map(drop));
  note(parts_->attempts.prune());
  note(trim_operations(parts_->core));
  note(trim_audit(parts_->audit, parts_->core.certain_now()));
  return first;
}

Status Database::health() {
  return parts_->core.db().health();
}

Status Database::close() {
  if (parts_->closed)
    return {};
  parts_->closed = true;
  const Status flushed = parts_->audit.flush_all();
  const Status closed = parts_->core.db().close();
  return flushed ? closed : flushed;
}

}  // namespace kdc
