// Operations on nodes themselves.

#include <cerrno>
#include <utility>

#include "fileserver/store/meta/execute_families.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using Node = Changes::Node;

Result<Node*> file(Changes& changes, NodeId id) {
  TROTH_TRY(Node* const node, changes.node(id));
  if (node->now.attributes.kind == NodeKind::Directory)
    return fail_posix(EISDIR, "node {} is a directory", id.value);
  if (node->now.attributes.kind != NodeKind::File)
    return fail(ErrorCode::InvalidArgument, "node {} is not a regular file", id.value);
  return node;
}

Status put_content(Changes& changes, Node& node, const Content& content, std::size_t position) {
  if (content.size > kMaxFileSize)
    return fail(ErrorCode::TooLarge, "a file has at most 2^62 bytes");
  if (content.tail.size() > kMaxTail || content.tail.size() > content.size)
    return fail(ErrorCode::InvalidArgument, "a content's tail does not fit it");
  TROTH_TRY_VOID(changes.set_content(node, content, position));
  changes.change(node);
  node.now.attributes.mtime = changes.context().time;
  return {};
}

}  // namespace

Status execute_set_content(Changes& changes, const SetContent& op, std::size_t position) {
  TROTH_TRY(Node* const node, file(changes, op.node));
  if (op.base && *op.base != node->now.attributes.data_version)
    return fail(ErrorCode::Conflict, "node {} has content of commit {}, not {}", op.node.value,
                node->now.attributes.data_version.value, op.base->value);
  return put_content(changes, *node, op.content, position);
}

Result<SetContent> execute_append_tail(Changes& changes, const AppendTail& op,
                                       std::size_t position) {
  TROTH_TRY(Node* const node, file(changes, op.node));
  const Attributes& now = node->now.attributes;
  TROTH_TRY(Bytes tail, changes.tail_of(*node));
  const std::uint64_t most = now.size == tail.size() ? kMaxTail : kMaxAppendedTail;
  if (tail.size() + op.bytes.size() > most)
    return fail(ErrorCode::Conflict, "the bytes do not fit into the tail of node {}",
                op.node.value);
  SetContent set;
  set.node = op.node;
  set.content.size = now.size + op.bytes.size();
  set.content.allocated = now.allocated + op.bytes.size();
  set.content.root = node->now.root;
  tail.insert(tail.end(), op.bytes.begin(), op.bytes.end());
  set.content.tail = std::move(tail);
  TROTH_TRY_VOID(put_content(changes, *node, set.content, position));
  return set;
}

Status execute_set_attributes(Changes& changes, SetAttributes& op) {
  const FileTime commit_time = changes.context().time;
  if (std::exchange(op.mtime_now, false))
    op.mtime = commit_time;
  if (std::exchange(op.atime_now, false))
    op.atime = commit_time;
  if (op.mode.value_or(0) > 07777)
    return fail(ErrorCode::InvalidArgument, "a mode is at most 07777");
  TROTH_TRY(Node* const node, changes.node(op.node));
  changes.change(*node);
  Attributes& now = node->now.attributes;
  now.mode = op.mode.value_or(now.mode);
  now.uid = op.uid.value_or(now.uid);
  now.gid = op.gid.value_or(now.gid);
  now.mtime = op.mtime.value_or(now.mtime);
  now.atime = op.atime.value_or(now.atime);
  return {};
}

Status execute_set_xattr(Changes& changes, const SetXattr& op) {
  if (op.name.empty() || op.name.size() > kMaxXattrName || op.name.find('\0') != std::string::npos)
    return fail(ErrorCode::InvalidArgument, "the name of an extended attribute has 1-255 bytes");
  if (op.value.size() > kMaxXattrValue)
    return fail(ErrorCode::TooLarge, "an extended attribute has at most {} bytes", kMaxXattrValue);
  TROTH_TRY(Node* const node, changes.node(op.node));
  TROTH_TRY(const auto old, read_xattr(changes.tx(), op.node, op.name, {}));
  if (op.mode == XattrMode::CreateOnly && old)
    return fail(ErrorCode::AlreadyExists, "there is an extended attribute \"{}\"", op.name);
  if (op.mode == XattrMode::ReplaceOnly && !old)
    return fail_posix(ENODATA, "there is no extended attribute \"{}\"", op.name);
  changes.change(*node);
  TROTH_TRY_VOID(
      changes.tx().run("INSERT INTO xattr_history(node, name, to_seq, from_seq, value) "
                       "SELECT node, name, ?3, from_seq, value FROM xattr "
                       "WHERE node = ?1 AND name = ?2 AND from_seq < ?3",
                       op.node.value, common::as_bytes(op.name), changes.seq().value));
  return changes.tx().run("REPLACE INTO xattr(node, name, value, from_seq) VALUES (?, ?, ?, ?)",
                          op.node.value, common::as_bytes(op.name), ByteView(op.value),
                          changes.seq().value);
}

Status execute_remove_xattr(Changes& changes, const RemoveXattr& op) {
  TROTH_TRY(Node* const node, changes.node(op.node));
  TROTH_TRY_VOID(
      changes.tx().run("INSERT INTO xattr_history(node, name, to_seq, from_seq, value) "
                       "SELECT node, name, ?3, from_seq, value FROM xattr "
                       "WHERE node = ?1 AND name = ?2 AND from_seq < ?3",
                       op.node.value, common::as_bytes(op.name), changes.seq().value));
  TROTH_TRY_VOID(changes.tx().run("DELETE FROM xattr WHERE node = ? AND name = ?", op.node.value,
                                  common::as_bytes(op.name)));
  if (changes.tx().changes() == 0)
    return fail_posix(ENODATA, "there is no extended attribute \"{}\"", op.name);
  changes.change(*node);
  return {};
}

Status execute_reap(Changes& changes, const Reap& op) {
  TROTH_TRY(Node* const node, changes.node(op.node));
  if (node->now.attributes.links != 0)
    return fail(ErrorCode::InvalidArgument, "node {} has a name", op.node.value);
  if (!changes.context().redo) {
    TROTH_TRY(const bool held, is_held(changes, op.node));
    if (held)
      return fail(ErrorCode::Busy, "node {} is held open", op.node.value);
  }
  TROTH_TRY_VOID(changes.tx().run("DELETE FROM orphan WHERE node = ?", op.node.value));
  return changes.end(*node);
}

}  // namespace fileserver::store
