#pragma once

// Rows of `node` and what they mean together with `touched`. Internal to the store.

#include "common/db/transaction.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

// A node as it is at some seq: its row, with the newest change of entries of a directory worked in.
struct NodeRow {
  Attributes attributes;
  Seq from_seq;  // of the row itself
  BlockName root;
  std::optional<std::int64_t> tail;  // content.id
};

// nullopt: not there (then).
[[nodiscard]] Result<std::optional<NodeRow>> read_node_row(ReadTx& tx, NodeId node, At at);

// The columns of node and node_history from `id` on, in the order of kNodeColumns.
#define TROTH_NODE_COLUMNS_OF(t)                                                                 \
  t "id, " t "from_seq, " t "data_seq, " t "kind, " t "mode, " t "uid, " t "gid, " t "links, " t \
    "size, " t "allocated, " t "mtime, " t "ctime, " t "atime, " t "home, " t "device, " t       \
    "root, " t "tail"
#define TROTH_NODE_COLUMNS TROTH_NODE_COLUMNS_OF("")
[[nodiscard]] Result<NodeRow> parse_node_row(const common::db::Statement& row, int first_column);
// Binds them from parameter `first` on.
void bind_node_row(common::db::Statement& statement, int first, const NodeRow& row);

// For directories: works the newest change of entries into the row.
[[nodiscard]] Status apply_touched(ReadTx& tx, NodeRow& row, At at);

void bind_blob(common::db::Statement& statement, int index, std::string_view bytes);
void bind_optional(common::db::Statement& statement, int index,
                   const std::optional<std::int64_t>& value);

// What a tail's id says.
[[nodiscard]] constexpr std::int64_t content_id(Seq seq, std::size_t position) {
  return static_cast<std::int64_t>(seq.value * kMaxOperations + position);
}

}  // namespace fileserver::store
