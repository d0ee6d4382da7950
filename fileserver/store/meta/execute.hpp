#pragma once

// Operations carried out on the tables: the same code for a caller's request and for a record that
// is redone on a copy.

#include "common/db/transaction.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

using common::db::WriteTx;

// What the transaction needs to know of its surroundings; all of it is in the record, too, or empty
// when a record is redone.
struct ExecuteContext {
  Seq seq;
  Epoch epoch;
  std::int64_t time = 0;
  Head before;
  // Fresh ids for new nodes; none when redoing (the record has them).
  std::function<Result<NodeId>()> new_node;
  bool redo = false;
  const TailSeal* seal = nullptr;
};

// What became of a node.
struct NodeOutcome {
  Attributes attributes;  // after the commit; links 0 and gone: as it was at its end
  bool gone = false;
  // What it was; none: the commit made it, or is answered from its record.
  std::optional<Attributes> before = std::nullopt;
};

struct Executed {
  std::vector<Operation> resolved;
  // Every node whose attributes, entries or links changed, each once, in order of id (R17).
  std::vector<NodeOutcome> nodes;
  std::vector<NodeId> created;  // one for each operation: the node it made, or 0
  std::uint64_t total_nodes = 0;
  std::uint64_t total_bytes = 0;
};

// Checks each operation and carries it out, in order. On failure the transaction must be given up.
[[nodiscard]] Result<Executed> execute(WriteTx& tx, const ExecuteContext& context,
                                       std::span<const Operation> operations);

// Conflict or Stale unless all hold.
[[nodiscard]] Status check_conditions(ReadTx& tx, std::span<const Condition> conditions);

}  // namespace fileserver::store
