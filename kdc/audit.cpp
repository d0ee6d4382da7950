#include "kdc/audit.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/crypto/hash.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

constexpr std::size_t kReadAtOnce = 1000;
constexpr std::size_t kTrimmedAtOnce = 1000;

constexpr std::string_view kRecordColumns =
    "SELECT seq, at, event, actor, actor_name, subject, source, outcome, times, details, hash "
    "FROM audit ";

AuditRecord record_from_row(const Statement& row) {
  return {.seq = row.column_uint64(0),
          .at = time_from(row.column_int64(1)),
          .event = std::string(row.column_text(2)),
          .actor = Id(static_cast<std::uint32_t>(row.column_uint64(3))),
          .actor_name = std::string(row.column_text(4)),
          .subject = std::string(row.column_text(5)),
          .source = std::string(row.column_text(6)),
          .outcome = std::string(row.column_text(7)),
          .times = row.column_uint64(8),
          .details = std::string(row.column_text(9))};
}

struct Ends {
  std::uint64_t anchor_seq = 0;
  Bytes anchor_hash;
  std::uint64_t head_seq = 0;
  Bytes head_hash;
};

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Result<Ends> read_ends(ReadTx& tx) {
  TROTH_TRY(auto row, tx.query("SELECT anchor_seq, anchor_hash, head_seq, head_hash FROM cell"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Internal, "the database has no contents yet");
  return Ends{row.column_uint64(0), copy(row.column_blob(1)), row.column_uint64(2),
              copy(row.column_blob(3))};
}

// Where the walk along the chain stands.
struct Walk {
  std::uint64_t at = 0;
  Bytes hash;
  AuditVerdict verdict;
  bool done = false;

  void broken(std::uint64_t seq, std::string why) {
    verdict.broken = seq;
    verdict.why = std::move(why);
    done = true;
  }
};

Status walk_some(ReadTx& tx, const common::crypto::Secret& key, Walk& walk) {
  static const std::string sql =
      std::string(kRecordColumns) + "WHERE seq > ?1 ORDER BY seq LIMIT ?2";
  TROTH_TRY(const Ends ends, read_ends(tx));
  if (ends.anchor_seq > walk.at) {  // trimmed while we walked
    walk.at = ends.anchor_seq;
    walk.hash = ends.anchor_hash;
    walk.verdict.first = ends.anchor_seq + 1;
  }
  TROTH_TRY(auto rows, tx.query(sql, walk.at, kReadAtOnce));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    const AuditRecord record = record_from_row(rows);
    if (record.seq != walk.at + 1) {
      walk.broken(walk.at + 1, fmt::format("record {} is missing", walk.at + 1));
      return {};
    }
    TROTH_TRY(const Bytes hash, audit_hash(key, walk.hash, record));
    if (!common::crypto::constant_time_equal(hash, rows.column_blob(10))) {
      walk.broken(record.seq, fmt::format("record {} is not what was written", record.seq));
      return {};
    }
    walk.at = record.seq;
    walk.hash = hash;
  }
  walk.done = walk.at >= ends.head_seq;
  if (walk.done && (walk.at != ends.head_seq || walk.hash != ends.head_hash))
    walk.broken(walk.at, "the newest record is not the one that the head names");
  return {};
}

bool same_kind(const AuditRecord& a, const AuditRecord& b) {
  return std::tie(a.event, a.actor, a.actor_name, a.subject, a.source, a.outcome, a.details) ==
         std::tie(b.event, b.actor, b.actor_name, b.subject, b.source, b.outcome, b.details);
}

// Adds it to one of the same kind, if there is one. A client that asks again and again is most
// likely among the last.
bool merge(std::vector<AuditRecord>& records, const AuditRecord& record) {
  const auto back = static_cast<std::ptrdiff_t>(std::min<std::size_t>(records.size(), 16));
  const auto same =
      std::find_if(records.rbegin(), records.rbegin() + back,
                   [&](const AuditRecord& other) { return same_kind(other, record); });
  if (same == records.rbegin() + back)
    return false;
  same->times += record.times;
  return true;
}

}  // namespace

Status AuditLog::record(AuditRecord record) {
  record.at = core_.now();
  return core_.db()
      .commit([&](WriteTx& tx) { return append_audit(tx, core_.secrets().audit, record); })
      .map([](std::uint64_t) {});
}

Status AuditLog::note(AuditRecord record) {
  return note(std::move(record), Limited::No);
}

Status AuditLog::refused(AuditRecord record) {
  return note(std::move(record), Limited::Yes);
}

Status AuditLog::note(AuditRecord record, Limited limited) {
  record.at = core_.now();
  bool admitted = false;
  for (const bool flushed : {false, true}) {
    {
      auto noted = noted_.lock();
      if (merge(noted->records, record))
        return {};
      if (limited == Limited::Yes && !std::exchange(admitted, true) &&
          !core_.refusals().admit(record))
        return {};
      if (!noted->full()) {
        noted->records.push_back(std::move(record));
        return {};
      }
      if (flushed || noted->writing > 0)
        break;
    }
    TROTH_TRY_VOID(flush());
  }
  return fail(ErrorCode::Overloaded, "more happens than can be recorded");
}

Status AuditLog::flush() {
  return flush(Refusals::Which::Due);
}

Status AuditLog::flush_all() {
  return flush(Refusals::Which::All);
}

Status AuditLog::flush(Refusals::Which counted) {
  const common::MutexLock alone(flush_mutex_);
  std::vector<AuditRecord> batch;
  {
    auto noted = noted_.lock();
    batch.swap(noted->records);
    auto more = core_.refusals().take_counted(core_.now(), kMostNoted - batch.size(), counted);
    std::move(more.begin(), more.end(), std::back_inserter(batch));
    noted->writing = batch.size();
  }
  if (batch.empty())
    return {};
  auto written = core_.db().commit([&](WriteTx& tx) -> Status {
    for (const AuditRecord& record : batch)
      TROTH_TRY_VOID(append_audit(tx, core_.secrets().audit, record));
    return {};
  });
  auto noted = noted_.lock();
  noted->writing = 0;
  if (written)
    return {};
  // Kept for the next time, before what came meanwhile; the cap then stops further tickets.
  noted->records.insert(noted->records.begin(), std::make_move_iterator(batch.begin()),
                        std::make_move_iterator(batch.end()));
  return tl::unexpected(written.error());
}

Result<std::vector<AuditRecord>> AuditLog::list(const AuditQuery& query) {
  static const std::string sql = std::string(kRecordColumns) +
                                 "WHERE seq > ?1 AND (?2 = '' OR event = ?2) AND "
                                 "(?3 = '' OR subject = ?3 OR actor_name = ?3) ORDER BY seq LIMIT "
                                 "?4";
  return core_.read([&](ReadTx& tx) -> Result<std::vector<AuditRecord>> {
    TROTH_TRY(auto rows, tx.query(sql, query.after, query.event, query.subject,
                                  std::min(query.limit, kReadAtOnce)));
    std::vector<AuditRecord> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back(record_from_row(rows));
    }
  });
}

Result<AuditLog::Range> AuditLog::range() {
  return core_.read([](ReadTx& tx) -> Result<Range> {
    TROTH_TRY(const Ends ends, read_ends(tx));
    return Range{.first = ends.anchor_seq + 1, .last = ends.head_seq};
  });
}

Result<AuditVerdict> AuditLog::verify() {
  Walk walk;
  TROTH_TRY_VOID(core_.read([&](ReadTx& tx) -> Status {
    TROTH_TRY(const Ends ends, read_ends(tx));
    walk.at = ends.anchor_seq;
    walk.hash = ends.anchor_hash;
    walk.verdict.first = ends.anchor_seq + 1;
    return {};
  }));
  while (!walk.done) {
    const std::uint64_t before = walk.at;
    TROTH_TRY_VOID(
        core_.read([&](ReadTx& tx) { return walk_some(tx, core_.secrets().audit, walk); }));
    if (!walk.done && walk.at == before)
      walk.broken(walk.at + 1, fmt::format("record {} and all after it are missing", walk.at + 1));
  }
  walk.verdict.last = walk.at;
  walk.verdict.ok = walk.verdict.broken == 0;
  return walk.verdict;
}

Result<bool> AuditLog::trim(Time before, std::uint64_t most) {
  struct Cut {
    std::uint64_t seq = 0;
    bool more = false;
  };
  const auto find_cut = [&](ReadTx& tx) -> Result<Cut> {
    TROTH_TRY(const Ends ends, read_ends(tx));
    Cut cut{.seq = ends.anchor_seq};
    TROTH_TRY(auto rows, tx.query("SELECT seq, at FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                                  ends.anchor_seq, kTrimmedAtOnce));
    for (;;) {
      TROTH_TRY(const bool row, rows.step());
      if (!row)
        break;
      const std::uint64_t seq = rows.column_uint64(0);
      // The newest one stays: the head names it.
      if (seq >= ends.head_seq ||
          (time_from(rows.column_int64(1)) >= before && ends.head_seq - seq < most))
        return cut;
      cut.seq = seq;
    }
    cut.more = cut.seq > ends.anchor_seq;
    return cut;
  };
  bool more = false;
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    TROTH_TRY(const Cut cut, find_cut(tx));
    more = cut.more;
    TROTH_TRY_VOID(
        tx.run("UPDATE cell SET anchor_hash = coalesce((SELECT hash FROM audit WHERE "
               "seq = ?1), anchor_hash), anchor_seq = ?1",
               cut.seq));
    TROTH_TRY_VOID(tx.run("DELETE FROM audit WHERE seq <= ?1", cut.seq));
    return cut.seq;
  };
  TROTH_TRY(const bool anything, core_.read([&](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(const Ends ends, read_ends(tx));
    TROTH_TRY(const Cut cut, find_cut(tx));
    return cut.seq > ends.anchor_seq;
  }));
  if (!anything)
    return false;
  const Change change{.event = "audit.trim", .subject = "audit"};
  TROTH_TRY_VOID(core_.change(Actor::kdc_itself(), change, work));
  return more;
}

}  // namespace kdc
