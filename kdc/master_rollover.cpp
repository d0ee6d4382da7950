#include "kdc/master_rollover.hpp"

#include "common/failpoint/failpoint.hpp"
#include "kdc/group_graph.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::db::ReadTx;
using common::db::WriteTx;

const Change kBegin{.event = "master.begin", .subject = "master key"};

struct SealedRow {
  KeyPlace place;
  std::uint32_t master = 0;
  Bytes sealed;
};

Result<std::vector<SealedRow>> rows_under_older(ReadTx& tx, std::uint32_t current) {
  TROTH_TRY(auto rows, tx.query("SELECT principal, kvno, purpose, master, sealed FROM key WHERE "
                                "master <> ?1 LIMIT ?2",
                                current, kRowsAtOnce));
  std::vector<SealedRow> found;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return found;
    const ByteView sealed = rows.column_blob(4);
    found.push_back(
        {{Id(static_cast<std::uint32_t>(rows.column_uint64(0))),
          static_cast<Kvno>(rows.column_uint64(1)), static_cast<KeyPurpose>(rows.column_uint64(2))},
         static_cast<std::uint32_t>(rows.column_uint64(3)),
         Bytes(sealed.begin(), sealed.end())});
  }
}

Result<std::vector<std::uint32_t>> registered(ReadTx& tx) {
  TROTH_TRY(auto rows, tx.query("SELECT version FROM master ORDER BY version"));
  std::vector<std::uint32_t> versions;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return versions;
    versions.push_back(static_cast<std::uint32_t>(rows.column_uint64(0)));
  }
}

}  // namespace

Status register_master(WriteTx& tx, const MasterKeys& keys, std::uint32_t version) {
  TROTH_TRY(const auto fingerprint, keys.fingerprint(version));
  return tx.run("INSERT INTO master VALUES (?1, ?2)", version, ByteView(fingerprint));
}

Status check_master_keys(ReadTx& tx, const MasterKeys& keys, const std::string& stash) {
  TROTH_TRY(auto rows, tx.query("SELECT version, fingerprint FROM master"));
  bool any = false;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    any = true;
    const auto version = static_cast<std::uint32_t>(rows.column_uint64(0));
    const auto fingerprint = keys.fingerprint(version);
    if (!fingerprint) {
      return fail(ErrorCode::NotFound,
                  "master key {} is not in {}; put the stash file back that belongs to this "
                  "database",
                  version, stash);
    }
    if (!common::crypto::constant_time_equal(*fingerprint, rows.column_blob(1))) {
      return fail(ErrorCode::InvalidArgument,
                  "master key {} in {} is not the one that this database was sealed with; put the "
                  "right stash file back",
                  version, stash);
    }
  }
  if (!any)
    return fail(ErrorCode::Corrupt, "the database names no master key");
  return {};
}

Status MasterRollover::adopt(std::uint32_t version, const Actor& actor) {
  const auto keys = core_.master_keys();
  return core_
      .change(actor, kBegin,
              [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
                TROTH_TRY_VOID(register_master(tx, *keys, version));
                TROTH_TRY_VOID(tx.run("UPDATE cell SET master = ?1", version));
                return version;
              })
      .map([](std::uint64_t) {});
}

Result<std::uint32_t> MasterRollover::begin(const Actor& actor) {
  const common::MutexLock lock(mutex_);
  TROTH_TRY(const auto known, core_.known_result(actor, kBegin));
  if (known)
    return static_cast<std::uint32_t>(*known);
  TROTH_TRY_VOID(core_.read([&](ReadTx& tx) -> Status {
    if (actor.id == kNobody)
      return {};
    TROTH_TRY(const bool allowed, is_administrator(tx, actor.id));
    if (!allowed)
      return fail(ErrorCode::PermissionDenied, "{} may not change the master key", actor.name);
    return {};
  }));
  const auto present = core_.master_keys();
  if (present->versions().size() > 1) {
    return fail(ErrorCode::Conflict,
                "a change of the master key is under way; it goes on by "
                "itself");
  }
  MasterKeys keys = present->clone();
  TROTH_TRY_VOID(keys.add_random());
  const std::uint32_t version = keys.newest();
  TROTH_FAILPOINT_TRY("kdc.rollover.before_stash");
  TROTH_TRY_VOID(keys.save(stash_));
  TROTH_FAILPOINT_TRY("kdc.rollover.after_stash");
  core_.set_master_keys(std::move(keys));
  TROTH_TRY_VOID(adopt(version, actor));
  return version;
}

Result<bool> MasterRollover::seal_some_anew() {
  const auto keys = core_.master_keys();
  TROTH_TRY(const bool any, core_.read([](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row,
              tx.query("SELECT 1 FROM key, cell WHERE key.master <> cell.master LIMIT 1"));
    return row.step();
  }));
  if (!any)
    return false;
  // No audit record for each: begin and end have theirs.
  auto done = core_.db().commit([&](WriteTx& tx) -> Status {
    TROTH_TRY(const std::uint32_t current, current_master(tx));
    TROTH_TRY(const auto rows, rows_under_older(tx, current));
    for (const SealedRow& row : rows) {
      TROTH_TRY(const Secret key, keys->open(row.master, row.place, row.sealed));
      TROTH_TRY(const Bytes sealed, keys->seal(current, row.place, key));
      TROTH_TRY_VOID(
          tx.run("UPDATE key SET master = ?3, sealed = ?4 WHERE principal = ?1 AND "
                 "kvno = ?2",
                 row.place.principal.value, row.place.kvno, current, ByteView(sealed)));
    }
    return {};
  });
  if (!done)
    return tl::unexpected(done.error());
  TROTH_FAILPOINT("kdc.rollover.sealed_some");
  return true;
}

Result<bool> MasterRollover::forget_old() {
  TROTH_TRY(const std::uint32_t current, core_.read([](ReadTx& tx) { return current_master(tx); }));
  TROTH_TRY(const auto known, core_.read([](ReadTx& tx) { return registered(tx); }));
  if (known.size() > 1) {
    const Change change{.event = "master.end", .subject = fmt::format("master key {}", current)};
    const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
      TROTH_TRY(const auto rows, rows_under_older(tx, current));
      if (!rows.empty())
        return fail(ErrorCode::Conflict, "rows are still sealed under an older master key");
      TROTH_TRY_VOID(tx.run("DELETE FROM master WHERE version <> ?1", current));
      return current;
    };
    TROTH_TRY_VOID(core_.change(Actor::kdc_itself(), change, work));
  }
  // Whatever the stash loses now, no state of the database that a power loss could bring back may
  // need.
  common::db::Database& db = core_.db();
  TROTH_TRY_VOID(db.wait_stable(db.committed(), core_.clock().now() + kSyncPatience));
  MasterKeys keys = core_.master_keys()->clone();
  for (const std::uint32_t version : keys.versions()) {
    if (version != current)
      keys.remove(version);
  }
  TROTH_FAILPOINT_TRY("kdc.rollover.before_forgetting");
  TROTH_TRY_VOID(keys.save(stash_));
  TROTH_FAILPOINT("kdc.rollover.after_forgetting");
  core_.set_master_keys(std::move(keys));
  return false;
}

Result<bool> MasterRollover::step() {
  const common::MutexLock lock(mutex_);
  const auto keys = core_.master_keys();
  if (keys->versions().size() < 2)
    return false;
  TROTH_TRY(const auto known, core_.read([](ReadTx& tx) { return registered(tx); }));
  TROTH_TRY(const std::uint32_t current, core_.read([](ReadTx& tx) { return current_master(tx); }));
  const std::uint32_t newest = keys->newest();
  if (newest > current) {  // stopped between the stash and the database
    TROTH_TRY_VOID(adopt(newest, Actor::kdc_itself()));
    return true;
  }
  TROTH_TRY(const bool more, seal_some_anew());
  if (more)
    return true;
  return forget_old();
}

Status MasterRollover::run(const Actor& actor) {
  TROTH_TRY_VOID(begin(actor));
  for (;;) {
    TROTH_TRY(const bool more, step());
    if (!more)
      return {};
  }
}

Result<MasterRollover::Progress> MasterRollover::progress() {
  Progress progress;
  progress.under_way = core_.master_keys()->versions().size() > 1;
  TROTH_TRY(progress.version, core_.read([](ReadTx& tx) { return current_master(tx); }));
  TROTH_TRY(progress.rows_left, core_.read([](ReadTx& tx) -> Result<std::uint64_t> {
    TROTH_TRY(auto row, tx.query("SELECT count(*) FROM key, cell WHERE key.master <> cell.master"));
    TROTH_TRY(const bool found, row.step());
    return found ? row.column_uint64(0) : 0;
  }));
  return progress;
}

}  // namespace kdc
