#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/store/meta/node_rows.hpp"
#include "fileserver/store/meta/rollback.hpp"

namespace fileserver::store {

namespace {

using common::wire::BinaryWriter;

struct Table {
  std::string_view name;
  std::string_view sql;  // parameter 1, if any: history must have ended after it
  bool from = false;
  std::string_view columns;  // of each: i integer, b blob or text, t tail (by the id before it)
};

#define NODE "iiiiiiiiiiiiiiibi"

constexpr Table kTables[] = {
    {"setting", "SELECT key, value, from_seq FROM setting ORDER BY key", false, "bbi"},
    {"setting_history",
     "SELECT key, to_seq, from_seq, value FROM setting_history WHERE to_seq > ? "
     "ORDER BY key, to_seq",
     true, "biib"},
    {"node", "SELECT " TROTH_NODE_COLUMNS " FROM node ORDER BY id", false, NODE},
    {"node_history",
     "SELECT to_seq, " TROTH_NODE_COLUMNS " FROM node_history WHERE to_seq > ? ORDER BY id, to_seq",
     true, "i" NODE},
    {"touched",
     "SELECT directory, seq, links, time FROM touched WHERE seq > ? ORDER BY directory, seq", true,
     "iiii"},
    {"dirent", "SELECT parent, name, child, kind, from_seq FROM dirent ORDER BY parent, name",
     false, "ibiii"},
    {"dirent_history",
     "SELECT parent, name, to_seq, from_seq, child, kind FROM dirent_history WHERE to_seq > ? "
     "ORDER BY parent, name, to_seq",
     true, "ibiiii"},
    {"xattr", "SELECT node, name, value, from_seq FROM xattr ORDER BY node, name", false, "ibbi"},
    {"xattr_history",
     "SELECT node, name, to_seq, from_seq, value FROM xattr_history WHERE to_seq > ? "
     "ORDER BY node, name, to_seq",
     true, "ibiib"},
    {"hard_link", "SELECT node, directory, links, from_seq FROM hard_link ORDER BY node, directory",
     false, "iiii"},
    {"hard_link_history",
     "SELECT node, directory, to_seq, from_seq, links FROM hard_link_history WHERE to_seq > ? "
     "ORDER BY node, directory, to_seq",
     true, "iiiii"},
    {"orphan", "SELECT node FROM orphan ORDER BY node", false, "i"},
    {"snapshot",
     "SELECT name, from_seq, to_seq, seq FROM snapshot WHERE to_seq IS NULL OR to_seq > ? "
     "ORDER BY name, from_seq",
     true, "biii"},
    // Tails that present or retained rows refer to: others may or may not have been trimmed.
    {"content",
     "SELECT c.id, c.bytes FROM content c WHERE c.id IN (SELECT tail FROM node WHERE tail IS NOT "
     "NULL UNION SELECT tail FROM node_history WHERE tail IS NOT NULL AND to_seq > ?) "
     "ORDER BY c.id",
     true, "it"},
    {"commits",
     "SELECT c.seq, c.epoch, c.time, c.principal, c.session, k.mount, c.number, c.nodes, c.bytes, "
     "c.operations FROM commits c LEFT JOIN client k ON k.id = c.client WHERE c.seq > ? "
     "ORDER BY c.seq",
     true, "iiiiibiiib"},
};

#undef NODE

Status add_column(const common::db::Statement& row, int column, char how, const TailSeal& seal,
                  BinaryWriter& out) {
  if (row.column_is_null(column)) {
    out.u8(0);
    return {};
  }
  if (how == 'i') {
    out.u8(1).u64(static_cast<std::uint64_t>(row.column_int64(column)));
  } else if (how == 'b') {
    out.u8(2).bytes(row.column_blob(column));
  } else {
    TROTH_TRY(const Bytes plain, seal.open(row.column_uint64(column - 1), row.column_blob(column)));
    out.u8(2).bytes(plain);
  }
  return {};
}

Status add_table(ReadTx& tx, const Table& table, Seq from, const TailSeal& seal,
                 common::crypto::Sha256& hash) {
  BinaryWriter head;
  head.text(table.name);
  TROTH_TRY_VOID(hash.update(head.view()));
  TROTH_TRY(auto rows, tx.query(table.sql));
  if (table.from)
    rows.bind(1, from.value);
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return {};
    BinaryWriter out;
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      TROTH_TRY_VOID(add_column(rows, static_cast<int>(i), table.columns[i], seal, out));
    TROTH_TRY_VOID(hash.update(out.view()));
  }
}

}  // namespace

Result<BlockName> digest_rows(ReadTx& tx, Seq from, const TailSeal& seal) {
  TROTH_TRY(auto hash, common::crypto::Sha256::create());
  for (const Table& table : kTables)
    TROTH_TRY_VOID(add_table(tx, table, from, seal, hash));
  TROTH_TRY(const auto digest, hash.finish());
  return BlockName{digest};
}

}  // namespace fileserver::store
