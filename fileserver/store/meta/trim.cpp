#include "fileserver/store/meta/trim.hpp"

#include <algorithm>

#include "common/wire/binary.hpp"
#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

namespace {

using common::db::Statement;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

// Seqs below the floor that are still shown by a snapshot, ascending.
Result<std::vector<std::uint64_t>> shown(ReadTx& tx, Seq floor) {
  // One deleted above the floor may come back by a rollback.
  TROTH_TRY(auto rows, tx.query("SELECT DISTINCT seq FROM snapshot "
                                "WHERE to_seq IS NULL OR to_seq > ? ORDER BY seq",
                                floor.value));
  std::vector<std::uint64_t> seqs;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return seqs;
    seqs.push_back(rows.column_uint64(0));
  }
}

bool any_in(const std::vector<std::uint64_t>& seqs, std::uint64_t from, std::uint64_t to) {
  const auto found = std::lower_bound(seqs.begin(), seqs.end(), from);
  return found != seqs.end() && *found < to;
}

Result<bool> is_pinned(ReadTx& tx, std::uint64_t node, std::uint64_t from, std::uint64_t to) {
  TROTH_TRY(auto row, tx.query("SELECT 1 FROM pin WHERE node = ? AND seq >= ? AND seq < ? LIMIT 1",
                               node, from, to));
  return row.step();
}

struct Visitor {
  WriteTx& tx;
  TrimState& state;
  const std::size_t limit;
  const std::vector<std::uint64_t>& snapshots;
};

bool may_go(const Visitor& visit, std::uint64_t from, std::uint64_t to) {
  return to <= visit.state.floor.value && !any_in(visit.snapshots, from, to);
}

// A table with keys (integer, blob, to_seq) or less; the blob of tables without one is empty.
struct HistoryTable {
  std::string_view page;    // key 1, key 2 (blob), to_seq, from_seq after the given key; limit
  std::string_view remove;  // by key 1, key 2, to_seq
};
constexpr HistoryTable kNamed[] = {
    {"SELECT parent, name, to_seq, from_seq FROM dirent_history "
     "WHERE (parent, name, to_seq) > (?1, ?2, ?3) ORDER BY parent, name, to_seq LIMIT ?4",
     "DELETE FROM dirent_history WHERE parent = ?1 AND name = ?2 AND to_seq = ?3"},
    {"SELECT node, name, to_seq, from_seq FROM xattr_history "
     "WHERE (node, name, to_seq) > (?1, ?2, ?3) ORDER BY node, name, to_seq LIMIT ?4",
     "DELETE FROM xattr_history WHERE node = ?1 AND name = ?2 AND to_seq = ?3"},
};

struct NamedKey {
  std::uint64_t id = 0;
  Bytes name;
  std::uint64_t to = 0;
};

Result<NamedKey> decode_key(ByteView bytes) {
  NamedKey key;
  if (bytes.empty())
    return key;
  BinaryReader in(bytes);
  TROTH_TRY(key.id, in.u64());
  TROTH_TRY(const ByteView name, in.bytes(kMaxName));
  key.name.assign(name.begin(), name.end());
  TROTH_TRY(key.to, in.u64());
  return key;
}

Bytes encode_key(const NamedKey& key) {
  return BinaryWriter().u64(key.id).bytes(key.name).u64(key.to).take();
}

// True while there may be more in this table.
Result<bool> trim_named(const Visitor& visit, const HistoryTable& table) {
  TROTH_TRY(NamedKey last, decode_key(visit.state.after));
  std::vector<NamedKey> going;
  std::size_t seen = 0;
  {
    TROTH_TRY(auto rows,
              visit.tx.query(table.page, last.id, ByteView(last.name), last.to, visit.limit));
    for (;; ++seen) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      const auto name = rows.column_blob(1);
      NamedKey key{rows.column_uint64(0), Bytes(name.begin(), name.end()), rows.column_uint64(2)};
      if (may_go(visit, rows.column_uint64(3), key.to))
        going.push_back(key);
      visit.state.after = encode_key(key);
    }
  }
  for (const NamedKey& key : going)
    TROTH_TRY_VOID(visit.tx.run(table.remove, key.id, ByteView(key.name), key.to));
  return seen == visit.limit;
}

// Settings and the counts of links are few: all at once.
Result<bool> trim_small(const Visitor& visit, bool settings) {
  struct Row {
    std::string key;
    std::uint64_t node = 0;
    std::uint64_t directory = 0;
    std::uint64_t to = 0;
  };
  std::vector<Row> going;
  {
    TROTH_TRY(auto rows,
              visit.tx.query(settings ? "SELECT from_seq, to_seq, key, 0, 0 FROM setting_history "
                                        "WHERE to_seq <= ?"
                                      : "SELECT from_seq, to_seq, '', node, directory FROM "
                                        "hard_link_history WHERE to_seq <= ?",
                             visit.state.floor.value));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      if (may_go(visit, rows.column_uint64(0), rows.column_uint64(1)))
        going.push_back({std::string(rows.column_text(2)), rows.column_uint64(3),
                         rows.column_uint64(4), rows.column_uint64(1)});
    }
  }
  for (const Row& row : going) {
    if (settings)
      TROTH_TRY_VOID(visit.tx.run("DELETE FROM setting_history WHERE key = ? AND to_seq = ?",
                                  std::string_view(row.key), row.to));
    else
      TROTH_TRY_VOID(
          visit.tx.run("DELETE FROM hard_link_history WHERE node = ? AND directory = ? "
                       "AND to_seq = ?",
                       row.node, row.directory, row.to));
  }
  return false;
}

// A tail goes with the last row that refers to it: all such rows belong to one node. So do a node's
// fences: its id never comes again.
Status remove_node_row(WriteTx& tx, std::uint64_t node, std::uint64_t to,
                       const std::optional<std::int64_t>& tail) {
  TROTH_TRY_VOID(tx.run("DELETE FROM node_history WHERE id = ? AND to_seq = ?", node, to));
  TROTH_TRY_VOID(
      tx.run("DELETE FROM fence WHERE node = ?1 "
             "AND NOT EXISTS (SELECT 1 FROM node WHERE id = ?1) "
             "AND NOT EXISTS (SELECT 1 FROM node_history WHERE id = ?1)",
             node));
  if (!tail)
    return {};
  return tx.run(
      "DELETE FROM content WHERE id = ?1 "
      "AND NOT EXISTS (SELECT 1 FROM node WHERE id = ?2 AND tail = ?1) "
      "AND NOT EXISTS (SELECT 1 FROM node_history WHERE id = ?2 AND tail = ?1)",
      *tail, node);
}

Result<bool> trim_nodes(const Visitor& visit) {
  struct Row {
    std::uint64_t node = 0;
    std::uint64_t to = 0;
    std::uint64_t from = 0;
    std::optional<std::int64_t> tail;
  };
  TROTH_TRY(NamedKey last, decode_key(visit.state.after));
  std::vector<Row> seen;
  {
    TROTH_TRY(auto rows, visit.tx.query("SELECT id, to_seq, from_seq, tail FROM node_history "
                                        "WHERE (id, to_seq) > (?, ?) ORDER BY id, to_seq LIMIT ?",
                                        last.id, last.to, visit.limit));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      Row row{rows.column_uint64(0), rows.column_uint64(1), rows.column_uint64(2), {}};
      if (!rows.column_is_null(3))
        row.tail = rows.column_int64(3);
      seen.push_back(row);
    }
  }
  for (const Row& row : seen) {
    visit.state.after = encode_key({row.node, {}, row.to});
    if (!may_go(visit, row.from, row.to))
      continue;
    TROTH_TRY(const bool pinned, is_pinned(visit.tx, row.node, row.from, row.to));
    if (!pinned)
      TROTH_TRY_VOID(remove_node_row(visit.tx, row.node, row.to, row.tail));
  }
  return seen.size() == visit.limit;
}

// A row of `touched` is looked at by every seq up to the next one of its directory; the last one by
// the present, or nobody when the directory is gone from history, too.
Result<bool> touched_may_go(const Visitor& visit, std::uint64_t directory, std::uint64_t seq) {
  std::uint64_t next = 0;
  {
    TROTH_TRY(auto row, visit.tx.query("SELECT min(seq) FROM touched "
                                       "WHERE directory = ? AND seq > ?",
                                       directory, seq));
    TROTH_TRY_VOID(row.step());
    next = row.column_is_null(0) ? 0 : row.column_uint64(0);
  }
  if (next != 0)
    return may_go(visit, seq, next);
  TROTH_TRY(auto row, visit.tx.query("SELECT 1 FROM node WHERE id = ?1 UNION ALL "
                                     "SELECT 1 FROM node_history WHERE id = ?1 AND to_seq > ?2 "
                                     "LIMIT 1",
                                     directory, seq));
  TROTH_TRY(const bool needed, row.step());
  return !needed;
}

Result<bool> trim_touched(const Visitor& visit) {
  TROTH_TRY(NamedKey last, decode_key(visit.state.after));
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
  {
    TROTH_TRY(auto rows, visit.tx.query("SELECT directory, seq FROM touched "
                                        "WHERE (directory, seq) > (?, ?) "
                                        "ORDER BY directory, seq LIMIT ?",
                                        last.id, last.to, visit.limit));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      seen.emplace_back(rows.column_uint64(0), rows.column_uint64(1));
    }
  }
  for (const auto& [directory, seq] : seen) {
    visit.state.after = encode_key({directory, {}, seq});
    if (seq >= visit.state.floor.value)
      continue;
    TROTH_TRY(const bool go, touched_may_go(visit, directory, seq));
    if (go)
      TROTH_TRY_VOID(
          visit.tx.run("DELETE FROM touched WHERE directory = ? AND seq = ?", directory, seq));
  }
  return seen.size() == visit.limit;
}

// The log below the floor, and the operation keys with it.
Result<bool> trim_commits(const Visitor& visit) {
  TROTH_TRY(auto cut, visit.tx.query("SELECT max(seq), count(*) FROM (SELECT seq FROM commits "
                                     "WHERE seq < ? ORDER BY seq LIMIT ?)",
                                     visit.state.floor.value, visit.limit));
  TROTH_TRY_VOID(cut.step());
  const std::uint64_t count = cut.column_uint64(1);
  if (count == 0)
    return false;
  const std::uint64_t last = cut.column_uint64(0);
  std::vector<std::pair<std::int64_t, std::int64_t>> newest;  // client, number
  {
    TROTH_TRY(auto rows, visit.tx.query("SELECT client, max(number) FROM commits "
                                        "WHERE seq <= ? AND client IS NOT NULL GROUP BY client",
                                        last));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      newest.emplace_back(rows.column_int64(0), rows.column_int64(1));
    }
  }
  for (const auto& [client, number] : newest)
    TROTH_TRY_VOID(visit.tx.run("UPDATE client SET forgotten = max(forgotten, ?2) WHERE id = ?1",
                                client, number));
  TROTH_TRY_VOID(visit.tx.run("DELETE FROM commits WHERE seq <= ?", last));
  TROTH_TRY_VOID(visit.tx.run("DELETE FROM snapshot WHERE to_seq <= ?", visit.state.floor.value));
  return count == visit.limit;
}

constexpr std::size_t kTables = 7;

Result<bool> trim_table(const Visitor& visit) {
  switch (visit.state.table) {
    case 0:
      return trim_nodes(visit);
    case 1:
    case 2:
      return trim_named(visit, kNamed[visit.state.table - 1]);
    case 3:
    case 4:
      return trim_small(visit, visit.state.table == 3);
    case 5:
      return trim_touched(visit);
    default:
      return trim_commits(visit);
  }
}

}  // namespace

Result<Seq> floor_for(ReadTx& tx, Seq present, std::int64_t oldest_time,
                      std::uint64_t keep_commits) {
  TROTH_TRY(const auto by_time, read_seq_at(tx, oldest_time));
  if (!by_time)
    return present;
  TROTH_TRY(auto row,
            tx.query("SELECT seq FROM commits ORDER BY seq DESC LIMIT 1 OFFSET ?", keep_commits));
  TROTH_TRY(const bool enough, row.step());
  if (!enough)
    return present;
  return std::max(present, std::min(*by_time, Seq{row.column_uint64(0)}));
}

Status set_floor(WriteTx& tx, Seq floor) {
  return tx.run("UPDATE volume SET floor = max(floor, ?)", floor.value);
}

Result<bool> trim_step(WriteTx& tx, TrimState& state, std::size_t limit) {
  TROTH_TRY(const auto snapshots, shown(tx, state.floor));
  TROTH_TRY(const bool more, trim_table({tx, state, limit, snapshots}));
  if (more)
    return true;
  state.after.clear();
  return ++state.table < kTables;
}

}  // namespace fileserver::store
