#include "fileserver/store/meta/execute.hpp"

#include "fileserver/store/meta/execute_families.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

// Carries one out; `op` becomes what is recorded.
Status execute_one(Changes& changes, Operation& op, std::size_t position, NodeId& created) {
  std::optional<Operation> instead;
  const Status status =
      std::visit(Overloaded{
                     [&](Create& o) -> Status {
                       TROTH_TRY(created, execute_create(changes, o, position));
                       return {};
                     },
                     [&](SetContent& o) -> Status {
                       const Status done = execute_set_content(changes, o, position);
                       o.base.reset();
                       return done;
                     },
                     [&](AppendTail& o) -> Status {
                       TROTH_TRY(instead, execute_append_tail(changes, o, position));
                       return {};
                     },
                     [&](SetAttributes& o) { return execute_set_attributes(changes, o); },
                     [&](Link& o) { return execute_link(changes, o); },
                     [&](Unlink& o) { return execute_unlink(changes, o); },
                     [&](RemoveDirectory& o) { return execute_remove_directory(changes, o); },
                     [&](Rename& o) { return execute_rename(changes, o); },
                     [&](SetXattr& o) {
                       const Status done = execute_set_xattr(changes, o);
                       o.mode = XattrMode::Any;
                       return done;
                     },
                     [&](RemoveXattr& o) { return execute_remove_xattr(changes, o); },
                     [&](Reap& o) { return execute_reap(changes, o); },
                     [&](SetSetting& o) { return execute_set_setting(changes, o); },
                     [&](CreateSnapshot& o) { return execute_create_snapshot(changes, o); },
                     [&](DeleteSnapshot& o) { return execute_delete_snapshot(changes, o); },
                     [&](RaiseFence& o) { return execute_raise_fence(changes, o); },
                     [&](Reserve& o) { return execute_reserve(changes, o); },
                     [&](BeginEpoch& o) { return execute_begin_epoch(changes, o); },
                 },
                 op);
  if (status && instead)
    op = *std::move(instead);
  return status;
}

Status check_version(ReadTx& tx, NodeId node, Seq expected, bool data) {
  TROTH_TRY(const auto now, read_attributes(tx, node, {}));
  if (!now)
    return fail(ErrorCode::Conflict, "node {} is gone", node.value);
  const Seq version = data ? now->data_version : now->version;
  if (version != expected)
    return fail(ErrorCode::Conflict, "node {} is at {}, not at {}", node.value, version.value,
                expected.value);
  return {};
}

Status check_name_is(ReadTx& tx, const NameIs& condition) {
  TROTH_TRY(const auto entry, read_entry(tx, condition.parent, condition.name, {}));
  const auto child = entry ? std::optional(entry->child) : std::nullopt;
  if (child != condition.node)
    return fail(ErrorCode::Conflict, "\"{}\" is no longer what it was", condition.name);
  return {};
}

Status check_retained(ReadTx& tx, const ContentRetained& condition) {
  TROTH_TRY(const auto then, read_attributes(tx, condition.node, condition.at));
  if (!then || then->data_version != condition.data_version)
    return fail(ErrorCode::Conflict, "what node {} held at {} has been forgotten",
                condition.node.value, condition.at.value);
  return {};
}

Status check_not_fenced(ReadTx& tx, const NotFenced& condition) {
  TROTH_TRY(auto row, tx.query("SELECT coalesce(max(token), 0) FROM fence "
                               "WHERE node = ? AND first <= ? AND last >= ?",
                               condition.node.value, condition.last, condition.first));
  TROTH_TRY_VOID(row.step());
  if (row.column_uint64(0) > condition.token.value)
    return fail(ErrorCode::Stale, "token {} on node {} has been overtaken by {}",
                condition.token.value, condition.node.value, row.column_uint64(0));
  return {};
}

}  // namespace

Result<Executed> execute(WriteTx& tx, const ExecuteContext& context,
                         std::span<const Operation> operations) {
  if (operations.size() > kMaxOperations)
    return fail(ErrorCode::TooLarge, "a commit has at most {} operations", kMaxOperations);
  Changes changes(tx, context);
  Executed result;
  result.resolved.assign(operations.begin(), operations.end());
  result.created.resize(operations.size());
  for (std::size_t i = 0; i < operations.size(); ++i)
    TROTH_TRY_VOID(execute_one(changes, result.resolved[i], i, result.created[i]));
  TROTH_TRY_VOID(changes.finish(result));
  return result;
}

Status check_conditions(ReadTx& tx, std::span<const Condition> conditions) {
  for (const Condition& condition : conditions) {
    TROTH_TRY_VOID(std::visit(
        Overloaded{
            [&](const VersionIs& c) { return check_version(tx, c.node, c.version, false); },
            [&](const DataVersionIs& c) { return check_version(tx, c.node, c.data_version, true); },
            [&](const NameIs& c) { return check_name_is(tx, c); },
            [&](const NotFenced& c) { return check_not_fenced(tx, c); },
            [&](const ContentRetained& c) { return check_retained(tx, c); },
        },
        condition));
  }
  return {};
}

}  // namespace fileserver::store
