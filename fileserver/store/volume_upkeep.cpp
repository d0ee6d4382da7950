// Trimming, collecting, scrubbing, counting.

#include <algorithm>

#include "common/wire/binary.hpp"
#include "fileserver/store/meta/node_rows.hpp"
#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

// Rows of one transaction of upkeep: callers wait for it, some 2 ms.
constexpr std::size_t kRowsPerStep = 200;
constexpr std::size_t kRootsPerPage = 1000;
constexpr std::size_t kScrubPage = 256;
constexpr std::size_t kIndexPage = 10'000;
// Between the end of one round of collecting and the next.
constexpr std::chrono::minutes kBetweenRounds{10};

Result<std::vector<NodeId>> reapable(ReadTx& tx, std::int64_t now) {
  TROTH_TRY(auto rows, tx.query("SELECT node FROM orphan o "
                                "WHERE NOT EXISTS (SELECT 1 FROM pin p WHERE p.node = o.node) "
                                "AND NOT EXISTS (SELECT 1 FROM keeper k WHERE k.node = o.node AND "
                                "k.until > ?) ORDER BY node LIMIT ?",
                                now, kRowsPerStep));
  std::vector<NodeId> nodes;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return nodes;
    nodes.push_back(NodeId{rows.column_uint64(0)});
  }
}

BlockName name_in(const common::db::Statement& row, int column) {
  BlockName name;
  const auto blob = row.column_blob(column);
  std::memcpy(name.bytes.data(), blob.data(), std::min(blob.size(), name.bytes.size()));
  return name;
}

Placement placement_in(const common::db::Statement& row, int column) {
  return {static_cast<std::uint32_t>(row.column_int64(column)),
          static_cast<std::uint32_t>(row.column_int64(column + 1)),
          static_cast<std::uint32_t>(row.column_int64(column + 2))};
}

}  // namespace

// --- the index of blocks ---

Result<std::vector<std::optional<Placement>>> VolumeIndex::find(std::span<const BlockName> names) {
  using Found = std::vector<std::optional<Placement>>;
  return parts_.db->read([&](ReadTx& tx) -> Result<Found> {
    Found found;
    found.reserve(names.size());
    for (const BlockName& name : names) {
      TROTH_TRY(auto place, read_placement(tx, name));
      if (place && parts_.is_lost(place->segment))
        place.reset();
      found.push_back(place);
    }
    if (!parts_.any_quarantine.load())
      return found;
    for (std::size_t i = 0; i < names.size(); ++i) {
      TROTH_TRY(auto row, tx.query("SELECT 1 FROM quarantine WHERE name = ?", names[i].view()));
      TROTH_TRY(const bool bad, row.step());
      if (bad)
        found[i].reset();
    }
    return found;
  });
}

void VolumeIndex::found_bad(const BlockName& name, const Placement& placement,
                            const common::Error& why) {
  const std::int64_t now = parts_.wall_time();
  const auto change = [&](WriteTx& tx) {
    return tx.run(
        "INSERT OR IGNORE INTO quarantine(name, found, segment, offset, length, why) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        name.view(), now, placement.segment, placement.offset, placement.length,
        std::string_view(why.message));
  };
  // Whoever reads the block has been told already; should noting it fail, the next reader notes it.
  if (parts_.db->commit(change))
    parts_.any_quarantine.store(true);
}

// --- for the collector ---

Result<std::vector<Root>> VolumeRoots::next_roots(std::string& cursor) {
  // The cursor: a table (0 present, 1 history), a node, a seq.
  std::uint8_t table = 0;
  std::uint64_t node = 0;
  std::uint64_t to = 0;
  if (!cursor.empty()) {
    BinaryReader in(common::as_bytes(cursor));
    TROTH_TRY(table, in.u8());
    TROTH_TRY(node, in.u64());
    TROTH_TRY(to, in.u64());
  }
  const auto page = [&](ReadTx& tx) -> Result<std::vector<Root>> {
    constexpr std::string_view kPresent =
        "SELECT id, 0, size, coalesce((SELECT length(bytes) FROM content WHERE id = tail), 0), "
        "root "
        "FROM node WHERE id > ?1 AND ?2 >= 0 ORDER BY id LIMIT ?3";
    constexpr std::string_view kPast =
        "SELECT id, to_seq, size, coalesce((SELECT length(bytes) FROM content WHERE id = tail), "
        "0), "
        "root FROM node_history WHERE (id, to_seq) > (?1, ?2) ORDER BY id, to_seq LIMIT ?3";
    std::vector<Root> roots;
    while (table < 2) {
      TROTH_TRY(auto rows, tx.query(table == 0 ? kPresent : kPast, node, to, kRootsPerPage));
      std::size_t seen = 0;
      for (;; ++seen) {
        TROTH_TRY(const bool more, rows.step());
        if (!more)
          break;
        node = rows.column_uint64(0);
        to = rows.column_uint64(1);
        if (rows.column_is_null(4))
          continue;
        // A sealed tail is longer by what sealing adds.
        std::uint64_t tail = rows.column_uint64(3);
        if (tail > 0 && !parts_.seal.is_plain())
          tail -= std::min(tail, kSealOverhead);
        roots.push_back({name_in(rows, 4), rows.column_uint64(2) - tail});
      }
      if (seen < kRootsPerPage) {
        ++table;
        node = to = 0;
      }
      if (!roots.empty())
        break;
    }
    return roots;
  };
  TROTH_TRY(auto roots, parts_.db->read(page));
  const Bytes next = BinaryWriter().u8(table).u64(node).u64(to).take();
  cursor = common::as_text(next);
  return roots;
}

Result<std::vector<IndexRow>> VolumeRoots::index_after(const BlockName& after, std::size_t limit) {
  return parts_.db->read([&](ReadTx& tx) -> Result<std::vector<IndexRow>> {
    TROTH_TRY(auto rows, tx.query("SELECT name, segment, offset, length FROM block WHERE name > ? "
                                  "ORDER BY name LIMIT ?",
                                  after.view(), limit));
    std::vector<IndexRow> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back({name_in(rows, 0), placement_in(rows, 1)});
    }
  });
}

Status VolumeRoots::delete_rows(std::span<const IndexRow> rows) {
  const auto change = [&](WriteTx& tx) -> Status {
    for (const IndexRow& row : rows) {
      TROTH_TRY_VOID(tx.run("DELETE FROM block WHERE name = ? AND segment = ? AND offset = ?",
                            row.name.view(), row.placement.segment, row.placement.offset));
      if (tx.changes() == 1)
        TROTH_TRY_VOID(tx.run("DELETE FROM quarantine WHERE name = ?", row.name.view()));
    }
    return {};
  };
  TROTH_TRY_VOID(parts_.db->commit(change));
  return {};
}

Status VolumeRoots::move_rows(std::span<const Move> moves) {
  const auto change = [&](WriteTx& tx) -> Status {
    for (const Move& move : moves) {
      TROTH_TRY_VOID(parts_.note_segment(tx, move.to.segment));
      TROTH_TRY_VOID(
          tx.run("UPDATE block SET segment = ?4, offset = ?5, length = ?6 "
                 "WHERE name = ?1 AND segment = ?2 AND offset = ?3",
                 move.name.view(), move.from.segment, move.from.offset, move.to.segment,
                 move.to.offset, move.to.length));
    }
    return {};
  };
  TROTH_TRY_VOID(parts_.db->commit(change));
  return {};
}

Status VolumeRoots::make_stable() {
  TROTH_TRY_VOID(parts_.sync());
  // The lists that recovery looks at must not name what is about to be removed, not even after a
  // power loss.
  const std::uint64_t stable = parts_.db->stable();
  const auto forget = [&](WriteTx& tx) { return forget_unsynced(tx, stable); };
  TROTH_TRY_VOID(parts_.db->commit(forget));
  return parts_.sync();
}

// --- steps ---

Result<bool> Volume::Parts::reap_orphans() {
  if (follows.load())
    return false;
  const std::int64_t now = wall_time();
  TROTH_TRY(const auto nodes, db->read([&](ReadTx& tx) { return reapable(tx, now); }));
  if (nodes.empty())
    return false;
  CommitRequest request;
  for (const NodeId node : nodes)
    request.operations.emplace_back(Reap{node});
  auto done = commit(request);
  // Somebody took one up meanwhile: next time.
  if (!done && done.error().code != ErrorCode::Busy && done.error().code != ErrorCode::NotFound &&
      done.error().code != ErrorCode::InvalidArgument)
    return tl::unexpected(std::move(done).error());
  return done.has_value();
}

Result<bool> Volume::Parts::trim(Upkeep& work) {
  if (!work.trimming) {
    if (history_hold.use_count() > 1)
      return false;
    const VolumeOptions::Retention keep = *retention.lock();
    const std::int64_t oldest =
        wall_time() - std::chrono::duration_cast<std::chrono::nanoseconds>(keep.keep_for).count();
    const Seq present{floor.load()};
    TROTH_TRY(const Seq next, db->read([&](ReadTx& tx) {
      return floor_for(tx, present, oldest, keep.keep_commits);
    }));
    if (next <= present)
      return false;
    const auto raise = [&](WriteTx& tx) { return set_floor(tx, next); };
    // First nobody may ask for it any more, then it goes.
    floor.store(next.value);
    TROTH_TRY_VOID(db->commit(raise));
    work.trim = TrimState{next, 0, {}};
    work.trimming = true;
  }
  TrimState state;
  const auto step = [&](WriteTx& tx) -> Result<bool> {
    state = work.trim;  // it may run more than once
    return trim_step(tx, state, kRowsPerStep);
  };
  TROTH_TRY(const auto more, db->commit(step));
  work.trim = state;
  work.trimming = more.value;
  return true;
}

Result<bool> Volume::maintain() {
  Parts& parts = *parts_;
  auto work = parts.upkeep.lock();
  // A round of collecting sees no trimming, and the other way round.
  if (!parts.collector->in_round()) {
    TROTH_TRY(const bool reaped, parts.reap_orphans());
    TROTH_TRY(const bool trimmed, parts.trim(*work));
    if (trimmed) {
      work->collect = true;
      return true;
    }
    if (reaped)
      return true;
    const auto now = parts.clock.now();
    if (!work->collect && now < work->next_round)
      return false;
    work->collect = false;
    work->next_round = now + kBetweenRounds;
  }
  return parts.collector->step();
}

void Volume::set_retention(VolumeOptions::Retention retention) {
  *parts_->retention.lock() = retention;
}

Status Volume::Parts::scrub_row(const IndexRow& row, std::span<std::byte> buffer) {
  auto read = segments->read(row.name, BlockKind::Data, row.placement, buffer);
  // A list is whole, too.
  if (read || read.error().code == ErrorCode::InvalidArgument) {
    if (!any_quarantine.load())
      return {};
    // What verifies is right, whatever was seen before.
    const auto clear = [&](WriteTx& tx) {
      return tx.run("DELETE FROM quarantine WHERE name = ? AND segment = ? AND offset = ?",
                    row.name.view(), row.placement.segment, row.placement.offset);
    };
    TROTH_TRY_VOID(db->commit(clear));
    return {};
  }
  // It may have been moved since the row was read; then it is looked at in the next round.
  const auto now = db->read([&](ReadTx& tx) { return read_placement(tx, row.name); });
  if (now && *now == row.placement) {
    if (read.error().code == ErrorCode::NotFound)
      read = fail(ErrorCode::Corrupt, "segment {} is gone", row.placement.segment);
    index.found_bad(row.name, row.placement, read.error());
  }
  return {};
}

Result<bool> Volume::scrub(std::uint64_t bytes) {
  Parts& parts = *parts_;
  auto work = parts.upkeep.lock();
  std::vector<std::byte> buffer(kBlockBytes);
  std::uint64_t done = 0;
  while (done < bytes) {
    TROTH_TRY(auto rows, parts.roots.index_after(work->scrubbed, kScrubPage));
    if (rows.empty()) {
      work->scrubbed = BlockName{};
      return true;
    }
    work->scrubbed = rows.back().name;
    // In order of place: one pass over the disk instead of one jump for each block.
    std::sort(rows.begin(), rows.end(), [](const IndexRow& a, const IndexRow& b) {
      return std::pair(a.placement.segment, a.placement.offset) <
             std::pair(b.placement.segment, b.placement.offset);
    });
    for (const IndexRow& row : rows) {
      done += row.placement.length + kRecordHeaderBytes;
      TROTH_TRY_VOID(parts.scrub_row(row, buffer));
    }
  }
  return false;
}

Result<SpaceReport> Volume::space() {
  Parts& parts = *parts_;
  SpaceReport report;
  std::uint64_t records = 0;
  TROTH_TRY(const Head head, parts.db->read([](ReadTx& tx) { return read_head(tx); }));
  report.logical = head.bytes;
  // In pages: a look at millions of rows at once would hold up checkpoints.
  for (BlockName after;;) {
    TROTH_TRY(const auto rows, parts.roots.index_after(after, kIndexPage));
    if (rows.empty())
      break;
    after = rows.back().name;
    for (const IndexRow& row : rows) {
      report.unique += row.placement.length;
      records += record_size(row.placement.length, false);
    }
  }
  for (const SegmentInfo& segment : parts.segments->list())
    report.segments += segment.bytes;
  report.reclaimable = report.segments > records ? report.segments - records : 0;
  return report;
}

Result<VolumeStatus> Volume::status() {
  Parts& parts = *parts_;
  VolumeStatus status;
  status.seq = last_seq();
  status.stable = stable_seq();
  status.visible = visible_seq();
  status.floor = Seq{parts.floor.load()};
  status.epoch = epoch();
  status.database = parts.db->status();
  status.collector = parts.collector->counters();
  const auto count = [](ReadTx& tx) -> Result<std::uint64_t> {
    TROTH_TRY(auto row, tx.query("SELECT count(*) FROM quarantine"));
    TROTH_TRY_VOID(row.step());
    return row.column_uint64(0);
  };
  TROTH_TRY(status.quarantined, parts.db->read(count));
  return status;
}

Status Volume::health() const {
  TROTH_TRY_VOID(parts_->db->health());
  return parts_->segments->health();
}

}  // namespace fileserver::store
