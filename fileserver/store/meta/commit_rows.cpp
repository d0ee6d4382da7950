#include "fileserver/store/meta/commit_rows.hpp"

#include "common/wire/binary.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

// The mount's number here, given at its first commit.
Result<std::int64_t> client_of(WriteTx& tx, const MountId& mount) {
  {
    TROTH_TRY(auto row, tx.query("SELECT id FROM client WHERE mount = ?", ByteView(mount.bytes)));
    TROTH_TRY(const bool found, row.step());
    if (found)
      return row.column_int64(0);
  }
  TROTH_TRY(auto next, tx.query("SELECT coalesce(max(id), 0) + 1 FROM client"));
  TROTH_TRY_VOID(next.step());
  const std::int64_t id = next.column_int64(0);
  TROTH_TRY_VOID(tx.run("INSERT INTO client(id, mount, forgotten) VALUES (?, ?, 0)", id,
                        ByteView(mount.bytes)));
  return id;
}

// True if the row is this block's now; else another one of that name stays.
Result<bool> enter_block(WriteTx& tx, const NewBlock& block, const MayMove& may_move) {
  const Placement& place = block.placement;
  TROTH_TRY_VOID(
      tx.run("INSERT OR IGNORE INTO block(name, segment, offset, length) "
             "VALUES (?, ?, ?, ?)",
             block.name.view(), place.segment, place.offset, place.length));
  if (tx.changes() == 1)
    return true;
  // There is a row already. It stays, for commits that are stable may rely on it; but one that is
  // about to be deleted, which nobody relies on, moves here. So does one found bad.
  TROTH_TRY(const auto old, read_placement(tx, block.name));
  TROTH_TRY(auto bad, tx.query("SELECT 1 FROM quarantine WHERE name = ?", block.name.view()));
  TROTH_TRY(const bool is_bad, bad.step());
  if (!is_bad && old && !may_move(block.name, *old))
    return false;
  TROTH_TRY_VOID(tx.run("UPDATE block SET segment = ?2, offset = ?3, length = ?4 WHERE name = ?1",
                        block.name.view(), place.segment, place.offset, place.length));
  TROTH_TRY_VOID(tx.run("DELETE FROM quarantine WHERE name = ?", block.name.view()));
  return true;
}

}  // namespace

Status write_commit(WriteTx& tx, const CommitHeader& header, const Executed& executed) {
  BinaryWriter operations;
  operations.u32(static_cast<std::uint32_t>(executed.resolved.size()));
  for (const Operation& operation : executed.resolved)
    encode_operation(operation, Tails::LeftOut, operations);
  std::int64_t client = 0;
  if (header.key) {
    TROTH_TRY(client, client_of(tx, header.key->mount));
  }
  TROTH_TRY(auto row,
            tx.query("INSERT INTO commits(seq, epoch, time, principal, session, nodes, bytes, "
                     "operations, client, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     header.seq.value, header.epoch.value, header.time,
                     static_cast<std::int64_t>(header.principal),
                     static_cast<std::int64_t>(header.session.value), executed.total_nodes,
                     executed.total_bytes, ByteView(operations.view())));
  if (header.key) {
    row.bind(9, client);
    row.bind(10, header.key->number);
  } else {
    row.bind(9, nullptr);
    row.bind(10, nullptr);
  }
  return row.run();
}

Status write_blocks(WriteTx& tx, Seq seq, const Upload& upload, const MayMove& may_move) {
  for (const BlockName& name : upload.reused()) {
    TROTH_TRY(const auto there, read_placement(tx, name));
    if (!there)
      return fail(ErrorCode::Unavailable, "blocks are gone that were to be used again");
  }
  if (upload.written().empty())
    return {};
  BinaryWriter list;
  for (const NewBlock& block : upload.written()) {
    TROTH_TRY(const bool entered, enter_block(tx, block, may_move));
    // A record that uploads share is listed by the commit that entered it alone: should this one be
    // undone, the row belongs to the other.
    if (!entered)
      continue;
    list.fixed(block.name.view()).u8(static_cast<std::uint8_t>(block.kind));
    list.u32(block.placement.segment).u32(block.placement.offset).u32(block.placement.length);
  }
  if (list.view().empty())
    return {};
  return tx.run("INSERT INTO unsynced(seq, number, blocks) VALUES (?, ?, ?)", seq.value,
                tx.number(), ByteView(list.view()));
}

Status forget_unsynced(WriteTx& tx, std::uint64_t number) {
  // Numbers grow with seqs, so the oldest rows are the first to go.
  return tx.run(
      "DELETE FROM unsynced WHERE seq <= "
      "(SELECT max(seq) FROM unsynced WHERE number <= ?)",
      number);
}

Result<std::vector<UnsyncedCommit>> read_unsynced(ReadTx& tx) {
  TROTH_TRY(auto rows, tx.query("SELECT seq, number, blocks FROM unsynced ORDER BY seq"));
  std::vector<UnsyncedCommit> commits;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return commits;
    UnsyncedCommit commit;
    commit.seq = Seq{rows.column_uint64(0)};
    commit.number = rows.column_uint64(1);
    BinaryReader list(rows.column_blob(2));
    while (list.remaining() > 0) {
      UnsyncedCommit::Block block;
      TROTH_TRY_VOID(list.fixed(std::span(block.name.bytes)));
      TROTH_TRY(const std::uint8_t kind, list.u8());
      if (kind != 1 && kind != 2)
        return fail(ErrorCode::Corrupt, "a block of commit {} has the kind {}", commit.seq.value,
                    kind);
      block.kind = static_cast<BlockKind>(kind);
      TROTH_TRY(block.placement.segment, list.u32());
      TROTH_TRY(block.placement.offset, list.u32());
      TROTH_TRY(block.placement.length, list.u32());
      commit.blocks.push_back(block);
    }
    commits.push_back(std::move(commit));
  }
}

Result<std::optional<Placement>> read_placement(ReadTx& tx, const BlockName& name) {
  TROTH_TRY(auto row,
            tx.query("SELECT segment, offset, length FROM block WHERE name = ?", name.view()));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return std::optional<Placement>();
  return std::optional(Placement{static_cast<std::uint32_t>(row.column_int64(0)),
                                 static_cast<std::uint32_t>(row.column_int64(1)),
                                 static_cast<std::uint32_t>(row.column_int64(2))});
}

}  // namespace fileserver::store
