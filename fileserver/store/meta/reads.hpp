#pragma once

// Questions to a volume's tables as they are or were. Functions of a read transaction: no state, no
// other I/O. A seq that is not retained answers whatever rows are left: callers check the floor.

#include <span>

#include "common/db/transaction.hpp"
#include "fileserver/store/meta/record.hpp"
#include "fileserver/store/meta/tail_seal.hpp"

namespace fileserver::store {

using common::db::ReadTx;

// nullopt: the present rows.
using At = std::optional<Seq>;

[[nodiscard]] Result<std::optional<Attributes>> read_attributes(ReadTx& tx, NodeId node, At at);
// Where a node's bytes are. `tail` only if asked for.
[[nodiscard]] Result<std::optional<Content>> read_content_of(ReadTx& tx, NodeId node, At at,
                                                             const TailSeal& seal);

// A tail by its id; Corrupt if it is not there.
[[nodiscard]] Result<Bytes> read_tail(ReadTx& tx, std::int64_t id, const TailSeal& seal);

struct Entry {
  std::string name;
  NodeId child;
  NodeKind kind = NodeKind::File;
};
[[nodiscard]] Result<std::optional<Entry>> read_entry(ReadTx& tx, NodeId parent,
                                                      std::string_view name, At at);
// Names after `after` in byte order ("" : from the first), at most `limit`.
[[nodiscard]] Result<std::vector<Entry>> read_entries(ReadTx& tx, NodeId parent,
                                                      std::string_view after, std::size_t limit,
                                                      At at);
// The same with attributes, in one pass.
struct EntryAttributes {
  std::string name;
  Attributes attributes;
};
[[nodiscard]] Result<std::vector<EntryAttributes>> read_entries_attributes(
    ReadTx& tx, NodeId parent, std::string_view after, std::size_t limit, At at);
[[nodiscard]] Result<bool> has_entries(ReadTx& tx, NodeId parent);
// Whether a node that is no directory has a name in this one.
[[nodiscard]] Result<bool> read_has_link(ReadTx& tx, NodeId directory, NodeId node, At at);

[[nodiscard]] Result<std::optional<Bytes>> read_xattr(ReadTx& tx, NodeId node,
                                                      std::string_view name, At at);
[[nodiscard]] Result<std::vector<std::string>> read_xattr_names(ReadTx& tx, NodeId node, At at);
[[nodiscard]] Result<std::optional<Bytes>> read_setting(ReadTx& tx, std::string_view key, At at);

// The versions of a node that are retained, newest first.
struct NodeVersion {
  Attributes attributes;
  std::optional<Seq> until;  // nullopt: the present one
};
[[nodiscard]] Result<std::vector<NodeVersion>> read_versions(ReadTx& tx, NodeId node,
                                                             std::size_t limit);

// The newest commit's place and totals; a volume always has one.
struct Head {
  Seq seq;
  Epoch epoch;
  std::int64_t time = 0;
  std::uint64_t nodes = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] Result<Head> read_head(ReadTx& tx);

// Complete records after `after`, oldest first: at most `limit`, and about `bytes` in all.
[[nodiscard]] Result<std::vector<CommitRecord>> read_records(ReadTx& tx, Seq after,
                                                             std::size_t limit, std::size_t bytes,
                                                             const TailSeal& seal);
// The record of an operation key; nullopt: never seen. Expired: forgotten.
[[nodiscard]] Result<std::optional<CommitRecord>> read_record_of(ReadTx& tx,
                                                                 const OperationKey& key,
                                                                 const TailSeal& seal);

// The newest seq at or before a time; nullopt: nothing retained is that old.
[[nodiscard]] Result<std::optional<Seq>> read_seq_at(ReadTx& tx, std::int64_t time);

struct Snapshot {
  std::string name;
  Seq seq;
  std::int64_t time = 0;  // when it was made
};
[[nodiscard]] Result<std::vector<Snapshot>> read_snapshots(ReadTx& tx);

}  // namespace fileserver::store
