#pragma once

// Rows of `commits`, `client`, and of the blocks that came with a commit. Internal to the store.

#include "fileserver/store/blocks/block_store.hpp"
#include "fileserver/store/meta/execute.hpp"

namespace fileserver::store {

struct CommitHeader {
  Seq seq;
  Epoch epoch;
  std::int64_t time = 0;
  std::uint64_t principal = 0;
  SessionId session;
  std::optional<OperationKey> key;
};
// Notes what was executed as this commit.
[[nodiscard]] Status write_commit(WriteTx& tx, const CommitHeader& header,
                                  const Executed& executed);

// Enters an upload's new blocks into the index, looks whether the reused ones are there
// (Unavailable if not), and keeps the list until they are stable.
// `may_move`: whether a row that is there already may be given up for a new record: because it is
// about to be deleted, or its segment is gone.
using MayMove = std::function<bool(const BlockName&, const Placement&)>;
[[nodiscard]] Status write_blocks(WriteTx& tx, Seq seq, const Upload& upload,
                                  const MayMove& may_move);
// Forgets the lists of commits that are stable: those of database transactions up to `number`.
[[nodiscard]] Status forget_unsynced(WriteTx& tx, std::uint64_t number);

struct UnsyncedCommit {
  Seq seq;
  std::uint64_t number = 0;  // of the database transaction
  struct Block {
    BlockName name;
    BlockKind kind = BlockKind::Data;
    Placement placement;
  };
  std::vector<Block> blocks;
};
// In order of seq.
[[nodiscard]] Result<std::vector<UnsyncedCommit>> read_unsynced(ReadTx& tx);

[[nodiscard]] Result<std::optional<Placement>> read_placement(ReadTx& tx, const BlockName& name);

}  // namespace fileserver::store
