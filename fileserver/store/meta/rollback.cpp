#include "fileserver/store/meta/rollback.hpp"

#include "common/wire/binary.hpp"
#include "fileserver/store/meta/commit_rows.hpp"
#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

namespace {

// A present table and its history: what was made later goes, what was true then comes back.
struct UndoTable {
  std::string_view remove_later;
  std::string_view bring_back;
  std::string_view forget;
};

#define TROTH_TWIN(table, columns)                                          \
  UndoTable {                                                               \
    "DELETE FROM " table " WHERE from_seq > ?",                             \
        "INSERT INTO " table "(" columns ") SELECT " columns " FROM " table \
        "_history WHERE from_seq <= ?1 AND to_seq > ?1",                    \
        "DELETE FROM " table "_history WHERE to_seq > ?"                    \
  }

constexpr UndoTable kUndoTables[] = {
    TROTH_TWIN("setting", "key, value, from_seq"),
    TROTH_TWIN("node", TROTH_NODE_COLUMNS),
    TROTH_TWIN("dirent", "parent, name, child, kind, from_seq"),
    TROTH_TWIN("xattr", "node, name, value, from_seq"),
    TROTH_TWIN("hard_link", "node, directory, links, from_seq"),
};

// The new blocks of commits that are undone may not be on the disk: nobody relies on them any more.
Status forget_blocks(WriteTx& tx, Seq seq) {
  TROTH_TRY(const auto commits, read_unsynced(tx));
  for (const UnsyncedCommit& commit : commits) {
    if (commit.seq <= seq)
      continue;
    for (const auto& block : commit.blocks) {
      TROTH_TRY_VOID(tx.run("DELETE FROM block WHERE name = ? AND segment = ? AND offset = ?",
                            block.name.view(), block.placement.segment, block.placement.offset));
    }
  }
  return tx.run("DELETE FROM unsynced WHERE seq > ?", seq.value);
}

}  // namespace

Status roll_back_rows(WriteTx& tx, Seq seq) {
  for (const UndoTable& twin : kUndoTables) {
    for (const std::string_view sql : {twin.remove_later, twin.bring_back, twin.forget})
      TROTH_TRY_VOID(tx.run(sql, seq.value));
  }
  TROTH_TRY_VOID(tx.run("DELETE FROM touched WHERE seq > ?", seq.value));
  TROTH_TRY_VOID(tx.run("DELETE FROM content WHERE id >= ?", content_id(Seq{seq.value + 1}, 0)));
  TROTH_TRY_VOID(tx.run("DELETE FROM orphan"));
  TROTH_TRY_VOID(tx.run("INSERT INTO orphan(node) SELECT id FROM node WHERE links = 0"));
  TROTH_TRY_VOID(tx.run("DELETE FROM snapshot WHERE from_seq > ?", seq.value));
  TROTH_TRY_VOID(tx.run("UPDATE snapshot SET to_seq = NULL WHERE to_seq > ?", seq.value));
  TROTH_TRY_VOID(forget_blocks(tx, seq));
  return tx.run("DELETE FROM commits WHERE seq > ?", seq.value);
}

}  // namespace fileserver::store
