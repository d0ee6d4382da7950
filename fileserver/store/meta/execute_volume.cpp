// Operations on the volume as a whole.

#include "fileserver/store/meta/execute_families.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

constexpr std::size_t kMaxText = 255;

Status check_text(std::string_view text, std::string_view what) {
  if (text.empty() || text.size() > kMaxText)
    return fail(ErrorCode::InvalidArgument, "the name of a {} has 1-255 bytes", what);
  return {};
}

}  // namespace

Status execute_set_setting(Changes& changes, const SetSetting& op) {
  TROTH_TRY_VOID(check_text(op.key, "setting"));
  WriteTx& tx = changes.tx();
  TROTH_TRY_VOID(
      tx.run("INSERT INTO setting_history(key, to_seq, from_seq, value) "
             "SELECT key, ?2, from_seq, value FROM setting "
             "WHERE key = ?1 AND from_seq < ?2",
             std::string_view(op.key), changes.seq().value));
  if (op.value.empty())
    return tx.run("DELETE FROM setting WHERE key = ?", std::string_view(op.key));
  return tx.run("REPLACE INTO setting(key, value, from_seq) VALUES (?, ?, ?)",
                std::string_view(op.key), ByteView(op.value), changes.seq().value);
}

Status execute_create_snapshot(Changes& changes, CreateSnapshot& op) {
  TROTH_TRY_VOID(check_text(op.name, "snapshot"));
  if (!changes.context().redo)
    op.seq = changes.context().before.seq;
  TROTH_TRY(auto same,
            changes.tx().query("SELECT 1 FROM snapshot WHERE name = ? AND to_seq IS NULL",
                               std::string_view(op.name)));
  TROTH_TRY(const bool there, same.step());
  if (there)
    return fail(ErrorCode::AlreadyExists, "there is a snapshot \"{}\"", op.name);
  return changes.tx().run(
      "INSERT INTO snapshot(name, from_seq, to_seq, seq, time) VALUES (?, ?, NULL, ?, ?)",
      std::string_view(op.name), changes.seq().value, op.seq.value, changes.context().time);
}

Status execute_delete_snapshot(Changes& changes, const DeleteSnapshot& op) {
  TROTH_TRY_VOID(
      changes.tx().run("UPDATE snapshot SET to_seq = ?2 WHERE name = ?1 AND to_seq IS NULL",
                       std::string_view(op.name), changes.seq().value));
  if (changes.tx().changes() == 0)
    return fail(ErrorCode::NotFound, "there is no snapshot \"{}\"", op.name);
  return {};
}

Status execute_raise_fence(Changes& changes, const RaiseFence& op) {
  if (op.first > op.last || op.last > kMaxFileSize)
    return fail(ErrorCode::InvalidArgument, "a fence needs a range of a file");
  WriteTx& tx = changes.tx();
  // What it covers says nothing more.
  TROTH_TRY_VOID(
      tx.run("DELETE FROM fence WHERE node = ? AND first >= ? AND last <= ? "
             "AND token <= ?",
             op.node.value, op.first, op.last, op.token.value));
  return tx.run(
      "INSERT OR IGNORE INTO fence(node, first, last, token, from_seq) "
      "VALUES (?, ?, ?, ?, ?)",
      op.node.value, op.first, op.last, op.token.value, changes.seq().value);
}

Status execute_reserve(Changes& changes, const Reserve& op) {
  return changes.tx().run(
      "UPDATE volume SET reserved_seq = max(reserved_seq, ?), reserved_node = max(reserved_node, "
      "?)",
      op.seq.value, op.node.value);
}

Status execute_begin_epoch(Changes& changes, const BeginEpoch& op) {
  return changes.tx().run("UPDATE volume SET epoch = max(epoch, ?)", op.epoch.value);
}

}  // namespace fileserver::store
