// Nodes, entries, xattrs and settings as they are or were.

#include "fileserver/store/meta/reads.hpp"

#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::db::Statement;

Entry parse_entry(const Statement& row, int first_column) {
  return {std::string(common::as_text(row.column_blob(first_column))),
          NodeId{row.column_uint64(first_column + 1)},
          static_cast<NodeKind>(row.column_int64(first_column + 2))};
}

// The value of a key at a seq: the present row if it is old enough, else the history row that
// contains the seq. Both statements answer (from_seq, value).
Result<std::optional<Bytes>> value_at(Statement present, Result<Statement> past, At at) {
  TROTH_TRY(const bool there, present.step());
  const auto blob = [](const Statement& row) {
    const auto bytes = row.column_blob(1);
    return std::optional<Bytes>(Bytes(bytes.begin(), bytes.end()));
  };
  if (there && (!at || present.column_uint64(0) <= at->value))
    return blob(present);
  if (!at)
    return std::optional<Bytes>();
  TROTH_TRY(Statement history, std::move(past));
  TROTH_TRY(const bool was, history.step());
  if (was && history.column_uint64(0) <= at->value)
    return blob(history);
  return std::optional<Bytes>();
}

std::uint64_t seq_of(At at) {
  return at.value_or(Seq{}).value;
}

}  // namespace

Result<std::optional<Attributes>> read_attributes(ReadTx& tx, NodeId node, At at) {
  TROTH_TRY(const auto row, read_node_row(tx, node, at));
  return row ? std::optional(row->attributes) : std::nullopt;
}

Result<Bytes> read_tail(ReadTx& tx, std::int64_t id, const TailSeal& seal) {
  TROTH_TRY(auto row, tx.query("SELECT bytes FROM content WHERE id = ?", id));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Corrupt, "the content {} is missing", id);
  return seal.open(static_cast<std::uint64_t>(id), row.column_blob(0));
}

Result<std::optional<Content>> read_content_of(ReadTx& tx, NodeId node, At at,
                                               const TailSeal& seal) {
  TROTH_TRY(const auto row, read_node_row(tx, node, at));
  if (!row)
    return std::optional<Content>();
  Content content;
  content.size = row->attributes.size;
  content.allocated = row->attributes.allocated;
  content.root = row->root;
  if (row->tail) {
    TROTH_TRY(content.tail, read_tail(tx, *row->tail, seal));
  }
  if (content.tail.size() > content.size || content.tail.size() > kMaxTail)
    return fail(ErrorCode::Corrupt, "the tail of node {} does not fit it", node.value);
  return std::optional(std::move(content));
}

Result<std::optional<Entry>> read_entry(ReadTx& tx, NodeId parent, std::string_view name, At at) {
  {
    TROTH_TRY(
        auto row,
        tx.query("SELECT name, child, kind, from_seq FROM dirent WHERE parent = ? AND name = ?",
                 parent.value, common::as_bytes(name)));
    TROTH_TRY(const bool there, row.step());
    if (there && (!at || row.column_uint64(3) <= at->value))
      return std::optional(parse_entry(row, 0));
  }
  if (!at)
    return std::optional<Entry>();
  TROTH_TRY(auto row, tx.query("SELECT name, child, kind, from_seq FROM dirent_history "
                               "WHERE parent = ? AND name = ? AND to_seq > ? "
                               "ORDER BY to_seq LIMIT 1",
                               parent.value, common::as_bytes(name), at->value));
  TROTH_TRY(const bool was, row.step());
  if (was && row.column_uint64(3) <= at->value)
    return std::optional(parse_entry(row, 0));
  return std::optional<Entry>();
}

Result<std::vector<Entry>> read_entries(ReadTx& tx, NodeId parent, std::string_view after,
                                        std::size_t limit, At at) {
  constexpr std::string_view kPresent =
      "SELECT name, child, kind FROM dirent WHERE parent = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
  constexpr std::string_view kPast =
      "SELECT name, child, kind FROM dirent WHERE parent = ?1 AND name > ?2 AND from_seq <= ?4 "
      "UNION ALL SELECT name, child, kind FROM dirent_history "
      "WHERE parent = ?1 AND name > ?2 AND from_seq <= ?4 AND to_seq > ?4 ORDER BY name LIMIT ?3";
  TROTH_TRY(auto rows,
            tx.query(at ? kPast : kPresent, parent.value, common::as_bytes(after), limit));
  if (at)
    rows.bind(4, at->value);
  std::vector<Entry> entries;
  entries.reserve(std::min<std::size_t>(limit, 1024));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return entries;
    entries.push_back(parse_entry(rows, 0));
  }
}

Result<std::vector<EntryAttributes>> read_entries_attributes(ReadTx& tx, NodeId parent,
                                                             std::string_view after,
                                                             std::size_t limit, At at) {
  std::vector<EntryAttributes> result;
  if (at) {
    TROTH_TRY(const auto entries, read_entries(tx, parent, after, limit, at));
    for (const Entry& entry : entries) {
      TROTH_TRY(auto attributes, read_attributes(tx, entry.child, at));
      if (!attributes)
        return fail(ErrorCode::Corrupt, "\"{}\" names node {}, which was not there", entry.name,
                    entry.child.value);
      result.push_back({entry.name, *attributes});
    }
    return result;
  }
  TROTH_TRY(auto rows,
            tx.query("SELECT d.name, " TROTH_NODE_COLUMNS_OF(
                         "n.") " FROM dirent d "
                               "CROSS JOIN node n ON n.id = d.child "
                               "WHERE d.parent = ? AND d.name > ? ORDER BY d.name LIMIT ?",
                     parent.value, common::as_bytes(after), limit));
  result.reserve(std::min<std::size_t>(limit, 1024));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return result;
    TROTH_TRY(NodeRow row, parse_node_row(rows, 1));
    TROTH_TRY_VOID(apply_touched(tx, row, at));
    result.push_back({std::string(common::as_text(rows.column_blob(0))), row.attributes});
  }
}

Result<bool> has_entries(ReadTx& tx, NodeId parent) {
  TROTH_TRY(auto row, tx.query("SELECT 1 FROM dirent WHERE parent = ? LIMIT 1", parent.value));
  return row.step();
}

Result<bool> read_has_link(ReadTx& tx, NodeId directory, NodeId node, At at) {
  TROTH_TRY(const auto attributes, read_attributes(tx, node, at));
  if (!attributes || attributes->links == 0)
    return false;
  if (attributes->home == directory)
    return true;
  constexpr std::string_view kPresent =
      "SELECT 1 FROM hard_link WHERE node = ?1 AND directory = ?2";
  constexpr std::string_view kPast =
      "SELECT 1 FROM hard_link WHERE node = ?1 AND directory = ?2 AND from_seq <= ?3 "
      "UNION ALL SELECT 1 FROM hard_link_history "
      "WHERE node = ?1 AND directory = ?2 AND from_seq <= ?3 AND to_seq > ?3";
  TROTH_TRY(auto rows, tx.query(at ? kPast : kPresent, node.value, directory.value));
  if (at)
    rows.bind(3, at->value);
  return rows.step();
}

Result<std::optional<Bytes>> read_xattr(ReadTx& tx, NodeId node, std::string_view name, At at) {
  TROTH_TRY(auto present, tx.query("SELECT from_seq, value FROM xattr WHERE node = ? AND name = ?",
                                   node.value, common::as_bytes(name)));
  return value_at(std::move(present),
                  tx.query("SELECT from_seq, value FROM xattr_history WHERE node = ? AND name = ? "
                           "AND to_seq > ? ORDER BY to_seq LIMIT 1",
                           node.value, common::as_bytes(name), seq_of(at)),
                  at);
}

Result<std::vector<std::string>> read_xattr_names(ReadTx& tx, NodeId node, At at) {
  constexpr std::string_view kPresent = "SELECT name FROM xattr WHERE node = ?1 ORDER BY name";
  constexpr std::string_view kPast =
      "SELECT name FROM xattr WHERE node = ?1 AND from_seq <= ?2 "
      "UNION ALL SELECT name FROM xattr_history "
      "WHERE node = ?1 AND from_seq <= ?2 AND to_seq > ?2 ORDER BY name";
  TROTH_TRY(auto rows, tx.query(at ? kPast : kPresent, node.value));
  if (at)
    rows.bind(2, at->value);
  std::vector<std::string> names;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return names;
    names.emplace_back(common::as_text(rows.column_blob(0)));
  }
}

Result<std::optional<Bytes>> read_setting(ReadTx& tx, std::string_view key, At at) {
  TROTH_TRY(auto present, tx.query("SELECT from_seq, value FROM setting WHERE key = ?", key));
  return value_at(std::move(present),
                  tx.query("SELECT from_seq, value FROM setting_history WHERE key = ? "
                           "AND to_seq > ? ORDER BY to_seq LIMIT 1",
                           key, seq_of(at)),
                  at);
}

Result<std::vector<NodeVersion>> read_versions(ReadTx& tx, NodeId node, std::size_t limit) {
  std::vector<NodeVersion> versions;
  TROTH_TRY(const auto now, read_node_row(tx, node, {}));
  if (now)
    versions.push_back({now->attributes, std::nullopt});
  TROTH_TRY(auto rows, tx.query("SELECT to_seq, " TROTH_NODE_COLUMNS
                                " FROM node_history WHERE id = ? ORDER BY to_seq DESC LIMIT ?",
                                node.value, limit));
  while (versions.size() < limit) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    TROTH_TRY(NodeRow row, parse_node_row(rows, 1));
    const Seq until{rows.column_uint64(0)};
    TROTH_TRY_VOID(apply_touched(tx, row, Seq{until.value - 1}));
    versions.push_back({row.attributes, until});
  }
  return versions;
}

Result<std::vector<Snapshot>> read_snapshots(ReadTx& tx) {
  TROTH_TRY(auto rows,
            tx.query("SELECT name, seq, time FROM snapshot WHERE to_seq IS NULL ORDER BY name"));
  std::vector<Snapshot> snapshots;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return snapshots;
    snapshots.push_back(
        {std::string(rows.column_text(0)), Seq{rows.column_uint64(1)}, rows.column_int64(2)});
  }
}

}  // namespace fileserver::store
