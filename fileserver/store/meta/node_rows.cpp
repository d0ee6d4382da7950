#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::db::Statement;

template <typename T>
Result<T> in_range(std::int64_t value, std::int64_t most, std::string_view what) {
  if (value < 0 || value > most)
    return fail(ErrorCode::Corrupt, "a node's {} is {}", what, value);
  return static_cast<T>(value);
}

constexpr std::int64_t kMax32 = 0xFFFFFFFF;

Status parse_root(const Statement& row, int column, NodeRow& into) {
  if (row.column_is_null(column))
    return {};
  const auto blob = row.column_blob(column);
  if (blob.size() != into.root.bytes.size())
    return fail(ErrorCode::Corrupt, "a node's root has {} bytes", blob.size());
  std::memcpy(into.root.bytes.data(), blob.data(), blob.size());
  return {};
}

Status parse_identity(const Statement& row, int column, Attributes& into) {
  TROTH_TRY(const auto kind, in_range<std::uint8_t>(row.column_int64(column), 7, "kind"));
  if (kind == 0)
    return fail(ErrorCode::Corrupt, "a node's kind is 0");
  into.kind = static_cast<NodeKind>(kind);
  TROTH_TRY(into.mode, in_range<std::uint32_t>(row.column_int64(column + 1), 07777, "mode"));
  TROTH_TRY(into.uid, in_range<std::uint32_t>(row.column_int64(column + 2), kMax32, "uid"));
  TROTH_TRY(into.gid, in_range<std::uint32_t>(row.column_int64(column + 3), kMax32, "gid"));
  TROTH_TRY(into.links, in_range<std::uint32_t>(row.column_int64(column + 4), kMax32, "links"));
  TROTH_TRY(into.size, in_range<std::uint64_t>(row.column_int64(column + 5),
                                               static_cast<std::int64_t>(kMaxFileSize), "size"));
  return {};
}

}  // namespace

void bind_blob(Statement& statement, int index, std::string_view bytes) {
  statement.bind(index, common::as_bytes(bytes));
}

void bind_optional(Statement& statement, int index, const std::optional<std::int64_t>& value) {
  if (value)
    statement.bind(index, *value);
  else
    statement.bind(index, nullptr);
}

Result<NodeRow> parse_node_row(const Statement& row, int first_column) {
  const int c = first_column;
  NodeRow result;
  Attributes& node = result.attributes;
  node.node = NodeId{row.column_uint64(c)};
  result.from_seq = Seq{row.column_uint64(c + 1)};
  node.version = result.from_seq;
  node.data_version = row.column_is_null(c + 2) ? result.from_seq : Seq{row.column_uint64(c + 2)};
  TROTH_TRY_VOID(parse_identity(row, c + 3, node));
  node.allocated = row.column_is_null(c + 9) ? node.size : row.column_uint64(c + 9);
  node.mtime = row.column_int64(c + 10);
  node.ctime = row.column_is_null(c + 11) ? node.mtime : row.column_int64(c + 11);
  node.atime = row.column_is_null(c + 12) ? node.mtime : row.column_int64(c + 12);
  node.home = NodeId{row.column_uint64(c + 13)};
  node.device = static_cast<std::uint64_t>(row.column_int64(c + 14));  // NULL reads as 0
  TROTH_TRY_VOID(parse_root(row, c + 15, result));
  if (!row.column_is_null(c + 16))
    result.tail = row.column_int64(c + 16);
  return result;
}

void bind_node_row(Statement& statement, int first, const NodeRow& row) {
  const Attributes& node = row.attributes;
  const auto unless = [](std::int64_t value, std::int64_t usual) {
    return value == usual ? std::nullopt : std::optional<std::int64_t>(value);
  };
  int i = first;
  statement.bind(i++, node.node.value);
  statement.bind(i++, row.from_seq.value);
  bind_optional(statement, i++,
                unless(static_cast<std::int64_t>(node.data_version.value),
                       static_cast<std::int64_t>(row.from_seq.value)));
  for (const std::uint32_t value :
       {static_cast<std::uint32_t>(node.kind), node.mode, node.uid, node.gid, node.links})
    statement.bind(i++, value);
  statement.bind(i++, node.size);
  bind_optional(
      statement, i++,
      unless(static_cast<std::int64_t>(node.allocated), static_cast<std::int64_t>(node.size)));
  statement.bind(i++, node.mtime);
  bind_optional(statement, i++, unless(node.ctime, node.mtime));
  bind_optional(statement, i++, unless(node.atime, node.mtime));
  statement.bind(i++, node.home.value);
  bind_optional(statement, i++, unless(static_cast<std::int64_t>(node.device), 0));
  if (row.root.is_hole())
    statement.bind(i++, nullptr);
  else
    statement.bind(i++, row.root.view());
  bind_optional(statement, i, row.tail);
}

Status apply_touched(ReadTx& tx, NodeRow& row, At at) {
  if (row.attributes.kind != NodeKind::Directory)
    return {};
  const auto until = at ? static_cast<std::int64_t>(at->value) : INT64_MAX;
  TROTH_TRY(auto touched, tx.query("SELECT seq, links, time FROM touched WHERE directory = ? AND "
                                   "seq <= ? ORDER BY seq DESC LIMIT 1",
                                   row.attributes.node.value, until));
  TROTH_TRY(const bool found, touched.step());
  if (!found || touched.column_uint64(0) <= row.from_seq.value)
    return {};
  Attributes& node = row.attributes;
  node.version = node.data_version = Seq{touched.column_uint64(0)};
  node.links = static_cast<std::uint32_t>(touched.column_int64(1));
  node.mtime = node.ctime = touched.column_int64(2);
  return {};
}

Result<std::optional<NodeRow>> read_node_row(ReadTx& tx, NodeId node, At at) {
  std::optional<NodeRow> found;
  {
    TROTH_TRY(auto row,
              tx.query("SELECT " TROTH_NODE_COLUMNS " FROM node WHERE id = ?", node.value));
    TROTH_TRY(const bool there, row.step());
    if (there) {
      TROTH_TRY(found, parse_node_row(row, 0));
    }
  }
  if (at && (!found || found->from_seq > *at)) {
    found.reset();
    TROTH_TRY(auto row, tx.query("SELECT " TROTH_NODE_COLUMNS
                                 " FROM node_history WHERE id = ? AND to_seq > ? "
                                 "ORDER BY to_seq LIMIT 1",
                                 node.value, at->value));
    TROTH_TRY(const bool there, row.step());
    if (there) {
      TROTH_TRY(found, parse_node_row(row, 0));
      if (found->from_seq > *at)
        found.reset();
    }
  }
  if (found)
    TROTH_TRY_VOID(apply_touched(tx, *found, at));
  return found;
}

}  // namespace fileserver::store
