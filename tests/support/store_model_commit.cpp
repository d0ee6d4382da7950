// Long, but one operation after the other.

#include "tests/support/store_model_commit.hpp"

#include <algorithm>
#include <cerrno>

namespace test_support {

using store::Attributes;
using store::NodeKind;

namespace {

ErrorCode posix(int error_number) {
  return common::error_code_from_errno(error_number);
}

}  // namespace

ModelNode& ModelCommit::edit(NodeId id) {
  auto& mine = edited_[id];
  if (mine == nullptr) {
    auto& slot = state_.nodes[id];
    mine = slot ? std::make_shared<ModelNode>(*slot) : std::make_shared<ModelNode>();
    slot = mine;
  }
  return *mine;
}

void ModelCommit::changed(NodeId id) {
  Attributes& a = edit(id).attributes;
  a.version = given_.seq;
  a.ctime = given_.time;
  touched_[id] = false;
}

void ModelCommit::touched(NodeId directory) {
  changed(directory);
  Attributes& a = edit(directory).attributes;
  a.data_version = given_.seq;
  a.mtime = given_.time;
}

void ModelCommit::end(NodeId id) {
  if (model_.present().find(id) == nullptr)  // one commit cannot make a node and end it
    refuse(ErrorCode::InvalidArgument);
  changed(id);
  gone_[id] = edit(id).attributes;
  touched_[id] = true;
  edited_.erase(id);
  state_.nodes.erase(id);
}

std::vector<store::NodeOutcome> ModelCommit::outcomes() const {
  std::vector<store::NodeOutcome> result;
  for (const auto& [id, gone] : touched_)
    result.push_back({gone ? gone_.at(id) : state_.find(id)->attributes, gone});
  return result;
}

bool ModelCommit::check_name(const std::string& name) {
  if (name.size() > store::kMaxName)
    return refuse(ErrorCode::TooLarge);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    return refuse(ErrorCode::InvalidArgument);
  return true;
}

bool ModelCommit::check_directory(NodeId id) {
  const ModelNode* const node = find(id);
  if (node == nullptr)
    return refuse(ErrorCode::NotFound);
  if (node->attributes.kind != NodeKind::Directory)
    return refuse(posix(ENOTDIR));
  return true;
}

bool ModelCommit::check_file(NodeId id) {
  const ModelNode* const node = find(id);
  if (node == nullptr)
    return refuse(ErrorCode::NotFound);
  if (node->attributes.kind == NodeKind::Directory)
    return refuse(posix(EISDIR));
  if (node->attributes.kind != NodeKind::File)
    return refuse(ErrorCode::InvalidArgument);
  return true;
}

bool ModelCommit::set_bytes(NodeId id, ModelBytes bytes) {
  if (!content_set_.insert(id).second)
    return refuse(ErrorCode::InvalidArgument);
  changed(id);
  ModelNode& node = edit(id);
  node.bytes = std::move(bytes);
  Attributes& a = node.attributes;
  a.size = node.bytes.size();
  // A symlink's target is all tail.
  const bool is_file = a.kind == NodeKind::File && given_.tail_of;
  a.allocated = node.bytes.allocated(is_file ? given_.tail_of(id) : a.size);
  a.data_version = given_.seq;
  a.mtime = given_.time;
  return true;
}

bool ModelCommit::change_content(const ModelContent& change) {
  const ModelNode* from = nullptr;
  if (change.kind == ModelContent::Kind::Copy) {
    const ModelState* const then = change.at ? model_.at(*change.at) : &state_;
    from = then == nullptr ? nullptr : then->find(change.from);
    if (then == nullptr)
      refuse(ErrorCode::Expired);
    else if (from == nullptr)
      refuse(ErrorCode::NotFound);
    else if (from->attributes.kind == NodeKind::Directory)
      refuse(posix(EISDIR));
    else if (from->attributes.kind != NodeKind::File)
      refuse(ErrorCode::InvalidArgument);
  }
  if (change.base && find(change.node) != nullptr &&
      *change.base != find(change.node)->attributes.data_version)
    refuse(ErrorCode::Conflict);
  if (!check_file(change.node) || !refused.empty())
    return false;
  const ModelNode& node = *find(change.node);
  ModelBytes bytes = node.bytes;
  if (change.kind == ModelContent::Kind::Append) {
    bytes.write(bytes.size(), change.bytes);
    return set_bytes(change.node, std::move(bytes));
  }
  if (change.kind == ModelContent::Kind::Copy) {
    const Bytes moved = from->bytes.read(change.from_offset, change.length);
    bytes.write(change.to_offset, moved);
    return set_bytes(change.node, std::move(bytes));
  }
  if (change.replace)
    bytes = ModelBytes();
  for (const ModelContent::Piece& piece : change.pieces) {
    if (piece.hole != 0)
      bytes.zero(piece.offset, piece.hole);
    else
      bytes.write(piece.offset, piece.bytes);
  }
  if (change.size)
    bytes.resize(*change.size);
  return set_bytes(change.node, std::move(bytes));
}

bool ModelCommit::operation(const ModelStep& step, std::size_t index) {
  return std::visit(
      [&](const auto& op) -> bool {
        using Op = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<Op, store::Create>) {
          const auto content = step.contents.find(index);
          return run(op, content == step.contents.end() ? nullptr : &content->second, index);
        } else if constexpr (requires { this->run(op); }) {
          return run(op);
        } else {
          return refuse(ErrorCode::Internal);  // never asked for
        }
      },
      step.operations[index]);
}

bool ModelCommit::run(const store::Create& op, const Bytes* content, std::size_t index) {
  const bool nameless = op.parent.value == 0;
  if (op.mode > 07777)
    refuse(ErrorCode::InvalidArgument);
  if (nameless) {
    if (!op.name.empty() || op.kind == NodeKind::Directory)
      refuse(ErrorCode::InvalidArgument);
  } else {
    check_name(op.name);
    if (check_directory(op.parent) && find(op.parent)->entries.contains(op.name))
      refuse(posix(EEXIST));
  }
  const bool has_content = content != nullptr && !content->empty();
  if (op.kind == NodeKind::Symlink) {
    if (!has_content)
      refuse(ErrorCode::InvalidArgument);
    else if (content->size() > store::kMaxSymlink)
      refuse(ErrorCode::TooLarge);
  } else if (has_content && op.kind != NodeKind::File) {
    refuse(ErrorCode::InvalidArgument);
  }
  const NodeId id =
      op.node.value != 0 || index >= given_.created.size() ? op.node : given_.created[index];
  if (find(id) != nullptr || gone_.contains(id))
    refuse(ErrorCode::AlreadyExists);
  if (!refused.empty())
    return false;
  {
    Attributes& a = edit(id).attributes;
    a.node = id;
    a.kind = op.kind;
    a.mode = op.mode;
    a.uid = op.uid;
    a.gid = op.gid;
    a.device = op.device;
    a.links = op.kind == NodeKind::Directory ? 2 : nameless ? 0 : 1;
    a.mtime = a.atime = given_.time;
    a.data_version = given_.seq;
    a.home = nameless ? store::kRootNode : op.parent;
  }
  changed(id);
  if (has_content)
    set_bytes(id, ModelBytes(*content));
  if (nameless)
    return true;
  touched(op.parent);
  ModelNode& parent = edit(op.parent);
  parent.entries[op.name] = id;
  if (op.kind == NodeKind::Directory)
    ++parent.attributes.links;
  return true;
}

bool ModelCommit::run(const store::AppendTail& op) {
  if (!check_file(op.node))
    return false;
  ModelBytes bytes = find(op.node)->bytes;
  bytes.write(bytes.size(), op.bytes);
  return set_bytes(op.node, std::move(bytes));
}

bool ModelCommit::run(const store::SetAttributes& op) {
  if (op.mode.value_or(0) > 07777)
    refuse(ErrorCode::InvalidArgument);
  if (find(op.node) == nullptr)
    refuse(ErrorCode::NotFound);
  if (!refused.empty())
    return false;
  changed(op.node);
  Attributes& a = edit(op.node).attributes;
  a.mode = op.mode.value_or(a.mode);
  a.uid = op.uid.value_or(a.uid);
  a.gid = op.gid.value_or(a.gid);
  a.mtime = op.mtime.value_or(a.mtime);
  a.atime = op.atime.value_or(a.atime);
  if (op.mtime_now)
    a.mtime = given_.time;
  if (op.atime_now)
    a.atime = given_.time;
  return true;
}

bool ModelCommit::run(const store::Link& op) {
  check_name(op.name);
  if (check_directory(op.parent) && find(op.parent)->entries.contains(op.name))
    refuse(ErrorCode::AlreadyExists);
  const ModelNode* const node = find(op.node);
  if (node == nullptr)
    refuse(ErrorCode::NotFound);
  else if (node->attributes.kind == NodeKind::Directory)
    refuse(posix(EPERM));
  if (!refused.empty())
    return false;
  touched(op.parent);
  edit(op.parent).entries[op.name] = op.node;
  changed(op.node);
  Attributes& a = edit(op.node).attributes;
  if (++a.links == 1)
    a.home = op.parent;
  return true;
}

// The directories that have a name of the node, in order of id.
std::vector<NodeId> ModelCommit::homes(NodeId id) const {
  std::vector<NodeId> result;
  for (const auto& [directory, node] : state_.nodes) {
    for (const auto& [name, child] : node->entries) {
      if (child == id) {
        result.push_back(directory);
        break;
      }
    }
  }
  return result;
}

void ModelCommit::fix_home(NodeId id) {
  Attributes& a = edit(id).attributes;
  const std::vector<NodeId> all = homes(id);
  if (!all.empty() && std::find(all.begin(), all.end(), a.home) == all.end())
    a.home = all.front();
}

// A name of anything goes, and with its last name the node, unless somebody holds it open.
void ModelCommit::drop_name(NodeId parent, const std::string& name) {
  ModelNode& directory = edit(parent);
  const NodeId id = directory.entries.at(name);
  directory.entries.erase(name);
  touched(parent);
  changed(id);
  Attributes& a = edit(id).attributes;
  if (a.kind == NodeKind::Directory) {
    a.links = 0;
    --edit(parent).attributes.links;
    end(id);
    return;
  }
  --a.links;
  if (a.links != 0)
    fix_home(id);
  else if (!model_.is_pinned(id))
    end(id);
}

bool ModelCommit::run(const store::Unlink& op) {
  check_name(op.name);
  if (check_directory(op.parent)) {
    const ModelNode* const child = state_.child(op.parent, op.name);
    if (child == nullptr)
      refuse(ErrorCode::NotFound);
    else if (child->attributes.kind == NodeKind::Directory)
      refuse(posix(EISDIR));
  }
  if (!refused.empty())
    return false;
  drop_name(op.parent, op.name);
  return true;
}

bool ModelCommit::run(const store::RemoveDirectory& op) {
  check_name(op.name);
  if (check_directory(op.parent)) {
    const ModelNode* const child = state_.child(op.parent, op.name);
    if (child == nullptr)
      refuse(ErrorCode::NotFound);
    else if (child->attributes.kind != NodeKind::Directory)
      refuse(posix(ENOTDIR));
    else if (!child->entries.empty())
      refuse(posix(ENOTEMPTY));
  }
  if (!refused.empty())
    return false;
  drop_name(op.parent, op.name);
  return true;
}

bool ModelCommit::is_below(NodeId node, NodeId ancestor) const {
  for (;; node = find(node)->attributes.home) {
    if (node == ancestor)
      return true;
    if (node == store::kRootNode)
      return false;
  }
}

bool ModelCommit::run(const store::Rename& op) {
  check_name(op.from_name);
  check_name(op.to_name);
  const bool from_there = check_directory(op.from_parent);
  const bool to_there = check_directory(op.to_parent);
  if (!from_there || !to_there)
    return false;
  const ModelNode* const moved = state_.child(op.from_parent, op.from_name);
  const ModelNode* const target = state_.child(op.to_parent, op.to_name);
  if (moved == nullptr)
    return refuse(ErrorCode::NotFound);
  if (target != nullptr && op.mode == store::RenameMode::NoReplace)
    refuse(ErrorCode::AlreadyExists);
  if (target == nullptr && op.mode == store::RenameMode::Exchange)
    refuse(ErrorCode::NotFound);
  const NodeId moved_id = moved->attributes.node;
  const NodeId target_id = target != nullptr ? target->attributes.node : NodeId{};
  if (moved_id == target_id)
    return refused.empty();
  const bool moves_directory = moved->attributes.kind == NodeKind::Directory;
  const bool over_directory = target != nullptr && target->attributes.kind == NodeKind::Directory;
  if (moves_directory && is_below(op.to_parent, moved_id))
    refuse(ErrorCode::InvalidArgument);
  if (op.mode == store::RenameMode::Exchange) {
    if (over_directory && is_below(op.from_parent, target_id))
      refuse(ErrorCode::InvalidArgument);
  } else if (target != nullptr) {
    if (moves_directory && !over_directory)
      refuse(posix(ENOTDIR));
    if (!moves_directory && over_directory)
      refuse(posix(EISDIR));
    if (over_directory && !target->entries.empty())
      refuse(posix(ENOTEMPTY));
  }
  if (!refused.empty())
    return false;
  if (target != nullptr && op.mode != store::RenameMode::Exchange)
    drop_name(op.to_parent, op.to_name);
  edit(op.from_parent).entries.erase(op.from_name);
  edit(op.to_parent).entries[op.to_name] = moved_id;
  if (moves_directory) {
    --edit(op.from_parent).attributes.links;
    ++edit(op.to_parent).attributes.links;
  }
  changed(moved_id);
  edit(moved_id).attributes.home = op.to_parent;
  if (op.mode == store::RenameMode::Exchange) {
    edit(op.from_parent).entries[op.from_name] = target_id;
    if (over_directory) {
      --edit(op.to_parent).attributes.links;
      ++edit(op.from_parent).attributes.links;
    }
    changed(target_id);
    edit(target_id).attributes.home = op.from_parent;
  }
  touched(op.from_parent);
  touched(op.to_parent);
  return true;
}

bool ModelCommit::run(const store::SetXattr& op) {
  if (op.name.empty() || op.name.size() > store::kMaxXattrName ||
      op.name.find('\0') != std::string::npos)
    refuse(ErrorCode::InvalidArgument);
  if (op.value.size() > store::kMaxXattrValue)
    refuse(ErrorCode::TooLarge);
  const ModelNode* const node = find(op.node);
  if (node == nullptr)
    return refuse(ErrorCode::NotFound);
  const bool there = node->xattrs.contains(op.name);
  if (there && op.mode == store::XattrMode::CreateOnly)
    refuse(ErrorCode::AlreadyExists);
  if (!there && op.mode == store::XattrMode::ReplaceOnly)
    refuse(posix(ENODATA));
  if (!refused.empty())
    return false;
  changed(op.node);
  edit(op.node).xattrs[op.name] = op.value;
  return true;
}

bool ModelCommit::run(const store::RemoveXattr& op) {
  const ModelNode* const node = find(op.node);
  if (node == nullptr)
    return refuse(ErrorCode::NotFound);
  if (!node->xattrs.contains(op.name))
    return refuse(posix(ENODATA));
  changed(op.node);
  edit(op.node).xattrs.erase(op.name);
  return true;
}

bool ModelCommit::run(const store::Reap& op) {
  const ModelNode* const node = find(op.node);
  if (node == nullptr)
    return refuse(ErrorCode::NotFound);
  if (node->attributes.links != 0)
    refuse(ErrorCode::InvalidArgument);
  else if (model_.is_pinned(op.node))
    refuse(ErrorCode::Busy);
  if (!refused.empty())
    return false;
  end(op.node);
  return true;
}

bool ModelCommit::run(const store::SetSetting& op) {
  if (op.key.empty() || op.key.size() > 255)
    return refuse(ErrorCode::InvalidArgument);
  if (op.value.empty())
    state_.settings.erase(op.key);
  else
    state_.settings[op.key] = op.value;
  return true;
}

bool ModelCommit::run(const store::CreateSnapshot& op) {
  if (op.name.empty() || op.name.size() > 255)
    return refuse(ErrorCode::InvalidArgument);
  if (!state_.snapshots.emplace(op.name, model_.last()).second)
    return refuse(ErrorCode::AlreadyExists);
  return true;
}

bool ModelCommit::run(const store::DeleteSnapshot& op) {
  if (state_.snapshots.erase(op.name) == 0)
    return refuse(ErrorCode::NotFound);
  return true;
}

bool ModelCommit::run(const store::RaiseFence& op) {
  if (op.first > op.last || op.last > store::kMaxFileSize)
    return refuse(ErrorCode::InvalidArgument);
  fences.push_back({op.node, op.first, op.last, op.token.value});
  return true;
}

}  // namespace test_support
