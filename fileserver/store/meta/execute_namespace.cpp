// Operations on names.

#include <cerrno>

#include "fileserver/store/meta/execute_families.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using Node = Changes::Node;

constexpr std::uint32_t kModeBits = 07777;

bool is_directory(const Node& node) {
  return node.now.attributes.kind == NodeKind::Directory;
}

// A directory that may get a new entry of this name.
Result<Node*> place_for(Changes& changes, NodeId parent, std::string_view name) {
  TROTH_TRY_VOID(check_name(name));
  TROTH_TRY(Node* const directory, changes.directory(parent));
  TROTH_TRY(const auto there, changes.entry(parent, name));
  if (there)
    return fail_posix(EEXIST, "\"{}\" exists", name);
  return directory;
}

Result<Entry> existing(Changes& changes, NodeId parent, std::string_view name) {
  TROTH_TRY(auto entry, changes.entry(parent, name));
  if (!entry)
    return fail_posix(ENOENT, "there is no \"{}\"", name);
  return *std::move(entry);
}

// The first node of a volume.
bool is_root(const Changes& changes, const Create& op) {
  return op.node == kRootNode && changes.context().before.nodes == 0;
}

Status check_new_node(const Changes& changes, const Create& op) {
  if (op.node.value == 0 || op.node.value > static_cast<std::uint64_t>(INT64_MAX))
    return fail(ErrorCode::InvalidArgument, "{} is no node id", op.node.value);
  if (op.mode > kModeBits)
    return fail(ErrorCode::InvalidArgument, "a mode is at most 07777");
  const bool has_content = op.content.size != 0;
  if (op.kind == NodeKind::Symlink) {
    if (!has_content || op.content.tail.size() != op.content.size)
      return fail(ErrorCode::InvalidArgument, "a symbolic link needs a target");
    if (op.content.size > kMaxSymlink)
      return fail(ErrorCode::TooLarge, "a target has at most {} bytes", kMaxSymlink);
  } else if (has_content && op.kind != NodeKind::File) {
    return fail(ErrorCode::InvalidArgument, "only files and symbolic links have content");
  }
  if (op.parent.value == 0 && !op.name.empty())
    return fail(ErrorCode::InvalidArgument, "a name needs a directory");
  if (op.parent.value == 0 && op.kind == NodeKind::Directory && !is_root(changes, op))
    return fail(ErrorCode::InvalidArgument, "only the root is a directory without a name");
  return {};
}

NodeRow new_row(const Changes& changes, const Create& op) {
  NodeRow row;
  Attributes& node = row.attributes;
  node.node = op.node;
  node.kind = op.kind;
  node.mode = op.mode;
  node.uid = op.uid;
  node.gid = op.gid;
  node.links = op.kind == NodeKind::Directory ? 2 : op.parent.value == 0 ? 0 : 1;
  node.mtime = node.ctime = node.atime = changes.context().time;
  node.device = op.device;
  node.version = node.data_version = row.from_seq = changes.seq();
  node.home = op.parent.value == 0 ? kRootNode : op.parent;
  return row;
}

// The directories from `node` up to the root must not include `forbidden`.
Status check_not_below(Changes& changes, NodeId node, NodeId forbidden) {
  // Each step goes up; a volume that had more steps than nodes would be damaged.
  for (std::uint64_t steps = 0; steps <= changes.context().before.nodes + kMaxOperations; ++steps) {
    if (node == forbidden)
      return fail_posix(EINVAL, "a directory cannot be moved into itself");
    if (node == kRootNode)
      return {};
    TROTH_TRY(node, changes.home_of(node));
  }
  return fail(ErrorCode::Corrupt, "node {} does not lead to the root", node.value);
}

// Whether what is at the target may be replaced by `moved`.
Status check_replace(Changes& changes, const Node& moved, const Node& target) {
  if (is_directory(moved) && !is_directory(target))
    return fail_posix(ENOTDIR, "a directory replaces directories only");
  if (!is_directory(moved) && is_directory(target))
    return fail_posix(EISDIR, "a directory is there");
  if (is_directory(target)) {
    TROTH_TRY(const bool full, has_entries(changes.tx(), target.now.attributes.node));
    if (full)
      return fail_posix(ENOTEMPTY, "the directory there is not empty");
  }
  return {};
}

// Takes a name away from a node that keeps or loses its last link.
Status drop_link(Changes& changes, Node& node, NodeId parent, bool& keep_orphan) {
  TROTH_TRY_VOID(changes.remove_link(node, parent));
  changes.change(node);
  if (node.now.attributes.links == 0)
    return end_or_keep(changes, node, keep_orphan);
  keep_orphan = false;
  return {};
}

Status remove_directory_node(Changes& changes, Node& parent, Node& node) {
  --parent.now.attributes.links;
  node.now.attributes.links = 0;
  return changes.end(node);
}

// The node now has a name in `to` instead of one in `from`; entries are the caller's business.
Status rehome(Changes& changes, Node& node, Node& from, Node& to) {
  Attributes& now = node.now.attributes;
  const NodeId to_id = to.now.attributes.node;
  if (is_directory(node)) {
    if (&from != &to) {
      --from.now.attributes.links;
      ++to.now.attributes.links;
    }
  } else if (now.links > 1 && &from != &to) {
    TROTH_TRY_VOID(changes.add_link(node, to_id));
    TROTH_TRY_VOID(changes.remove_link(node, from.now.attributes.node));
  }
  now.home = to_id;  // it adopts the list of where it went (R27)
  changes.change(node);
  return {};
}

struct Ends {
  Node* from = nullptr;
  Node* to = nullptr;
  Node* moved = nullptr;
  Node* target = nullptr;  // null: nothing is there
};

Status exchange(Changes& changes, const Rename& op, const Ends& ends) {
  if (ends.target == nullptr)
    return fail_posix(ENOENT, "there is no \"{}\"", op.to_name);
  if (is_directory(*ends.target) && ends.from != ends.to)
    TROTH_TRY_VOID(check_not_below(changes, op.from_parent, ends.target->now.attributes.node));
  TROTH_TRY_VOID(changes.remove_entry(op.from_parent, op.from_name));
  TROTH_TRY_VOID(changes.remove_entry(op.to_parent, op.to_name));
  TROTH_TRY_VOID(changes.add_entry(op.to_parent, op.to_name, *ends.moved));
  TROTH_TRY_VOID(changes.add_entry(op.from_parent, op.from_name, *ends.target));
  TROTH_TRY_VOID(rehome(changes, *ends.moved, *ends.from, *ends.to));
  return rehome(changes, *ends.target, *ends.to, *ends.from);
}

Status replace(Changes& changes, Rename& op, const Ends& ends) {
  bool keep = op.keep_orphan;
  // Before anything moves: what is moved may be all that the target holds.
  if (ends.target != nullptr)
    TROTH_TRY_VOID(check_replace(changes, *ends.moved, *ends.target));
  TROTH_TRY_VOID(changes.remove_entry(op.from_parent, op.from_name));
  if (ends.target != nullptr) {
    TROTH_TRY_VOID(changes.remove_entry(op.to_parent, op.to_name));
    if (is_directory(*ends.target)) {
      keep = false;
      TROTH_TRY_VOID(remove_directory_node(changes, *ends.to, *ends.target));
    } else {
      TROTH_TRY_VOID(drop_link(changes, *ends.target, op.to_parent, keep));
    }
  } else {
    keep = false;
  }
  op.keep_orphan = keep;
  TROTH_TRY_VOID(changes.add_entry(op.to_parent, op.to_name, *ends.moved));
  return rehome(changes, *ends.moved, *ends.from, *ends.to);
}

}  // namespace

Result<bool> is_held(Changes& changes, NodeId node) {
  TROTH_TRY(auto row, changes.tx().query("SELECT 1 FROM pin WHERE node = ?1 UNION ALL "
                                         "SELECT 1 FROM keeper WHERE node = ?1 AND until > ?2 "
                                         "LIMIT 1",
                                         node.value, changes.context().time));
  return row.step();
}

Status end_or_keep(Changes& changes, Changes::Node& node, bool& keep_orphan) {
  const NodeId id = node.now.attributes.node;
  if (!changes.context().redo) {
    TROTH_TRY(keep_orphan, is_held(changes, id));
  }
  if (!keep_orphan)
    return changes.end(node);
  return changes.tx().run("INSERT INTO orphan(node) VALUES (?)", id.value);
}

Result<NodeId> execute_create(Changes& changes, Create& op, std::size_t position) {
  if (op.node.value == 0) {
    if (!changes.context().new_node)
      return fail(ErrorCode::Protocol, "a recorded creation names no node");
    TROTH_TRY(op.node, changes.context().new_node());
  }
  TROTH_TRY_VOID(check_new_node(changes, op));
  Node* parent = nullptr;
  if (op.parent.value != 0) {
    TROTH_TRY(parent, place_for(changes, op.parent, op.name));
    if (op.kind == NodeKind::Directory && parent->now.attributes.links >= kMaxLinks)
      return fail_posix(EMLINK, "a directory holds at most {} others", kMaxLinks - 2);
  }
  TROTH_TRY(Node* const node, changes.add_node(new_row(changes, op)));
  if (op.content.size != 0)
    TROTH_TRY_VOID(changes.set_content(*node, op.content, position));
  if (parent == nullptr) {
    if (op.kind != NodeKind::Directory)
      TROTH_TRY_VOID(changes.tx().run("INSERT INTO orphan(node) VALUES (?)", op.node.value));
    return op.node;
  }
  TROTH_TRY_VOID(changes.add_entry(op.parent, op.name, *node));
  if (op.kind == NodeKind::Directory)
    ++parent->now.attributes.links;
  changes.touch(*parent);
  return op.node;
}

Status execute_link(Changes& changes, const Link& op) {
  TROTH_TRY(Node* const parent, place_for(changes, op.parent, op.name));
  TROTH_TRY(Node* const node, changes.node(op.node));
  if (is_directory(*node))
    return fail_posix(EPERM, "a directory has one name only");
  if (node->now.attributes.links >= kMaxLinks)
    return fail_posix(EMLINK, "a file has at most {} names", kMaxLinks);
  TROTH_TRY_VOID(changes.add_link(*node, op.parent));
  TROTH_TRY_VOID(changes.add_entry(op.parent, op.name, *node));
  changes.change(*node);
  changes.touch(*parent);
  return {};
}

Status execute_unlink(Changes& changes, Unlink& op) {
  TROTH_TRY_VOID(check_name(op.name));
  TROTH_TRY(Node* const parent, changes.directory(op.parent));
  TROTH_TRY(const Entry entry, existing(changes, op.parent, op.name));
  if (entry.kind == NodeKind::Directory)
    return fail_posix(EISDIR, "\"{}\" is a directory", op.name);
  TROTH_TRY(Node* const node, changes.node(entry.child));
  TROTH_TRY_VOID(changes.remove_entry(op.parent, op.name));
  TROTH_TRY_VOID(drop_link(changes, *node, op.parent, op.keep_orphan));
  changes.touch(*parent);
  return {};
}

Status execute_remove_directory(Changes& changes, const RemoveDirectory& op) {
  TROTH_TRY_VOID(check_name(op.name));
  TROTH_TRY(Node* const parent, changes.directory(op.parent));
  TROTH_TRY(const Entry entry, existing(changes, op.parent, op.name));
  if (entry.kind != NodeKind::Directory)
    return fail_posix(ENOTDIR, "\"{}\" is not a directory", op.name);
  TROTH_TRY(const bool full, has_entries(changes.tx(), entry.child));
  if (full)
    return fail_posix(ENOTEMPTY, "\"{}\" is not empty", op.name);
  TROTH_TRY(Node* const node, changes.node(entry.child));
  TROTH_TRY_VOID(changes.remove_entry(op.parent, op.name));
  TROTH_TRY_VOID(remove_directory_node(changes, *parent, *node));
  changes.touch(*parent);
  return {};
}

Status execute_rename(Changes& changes, Rename& op) {
  TROTH_TRY_VOID(check_name(op.from_name));
  TROTH_TRY_VOID(check_name(op.to_name));
  Ends ends;
  TROTH_TRY(ends.from, changes.directory(op.from_parent));
  TROTH_TRY(ends.to, changes.directory(op.to_parent));
  TROTH_TRY(const Entry moved, existing(changes, op.from_parent, op.from_name));
  TROTH_TRY(const auto target, changes.entry(op.to_parent, op.to_name));
  if (target && op.mode == RenameMode::NoReplace)
    return fail_posix(EEXIST, "\"{}\" exists", op.to_name);
  // Two names of one file: POSIX wants both kept.
  if (target && target->child == moved.child) {
    op.keep_orphan = false;
    return {};
  }
  TROTH_TRY(ends.moved, changes.node(moved.child));
  if (target) {
    TROTH_TRY(ends.target, changes.node(target->child));
  }
  if (is_directory(*ends.moved)) {
    if (ends.from != ends.to)
      TROTH_TRY_VOID(check_not_below(changes, op.to_parent, moved.child));
    if (ends.from != ends.to && ends.to->now.attributes.links >= kMaxLinks)
      return fail_posix(EMLINK, "a directory holds at most {} others", kMaxLinks - 2);
  }
  if (op.mode == RenameMode::Exchange) {
    op.keep_orphan = false;
    TROTH_TRY_VOID(exchange(changes, op, ends));
  } else {
    TROTH_TRY_VOID(replace(changes, op, ends));
  }
  changes.touch(*ends.from);
  changes.touch(*ends.to);
  return {};
}

}  // namespace fileserver::store
