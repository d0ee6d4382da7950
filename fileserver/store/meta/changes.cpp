#include "fileserver/store/meta/changes.hpp"

#include <cerrno>

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

}  // namespace

Result<Changes::Node*> Changes::node(NodeId id) {
  auto found = nodes_.find(id);
  if (found == nodes_.end()) {
    TROTH_TRY(auto row, read_node_row(tx_, id, {}));
    if (!row)
      return fail(ErrorCode::NotFound, "there is no node {}", id.value);
    Node loaded;
    loaded.now = *row;
    loaded.before = std::move(row);
    found = nodes_.emplace(id, std::move(loaded)).first;
  }
  if (found->second.gone)
    return fail(ErrorCode::NotFound, "node {} is gone", id.value);
  return &found->second;
}

Result<Changes::Node*> Changes::directory(NodeId id) {
  TROTH_TRY(Node* const found, node(id));
  if (found->now.attributes.kind != NodeKind::Directory)
    return fail_posix(ENOTDIR, "node {} is not a directory", id.value);
  return found;
}

Result<NodeId> Changes::home_of(NodeId id) {
  if (const auto found = nodes_.find(id); found != nodes_.end())
    return found->second.now.attributes.home;
  TROTH_TRY(auto row, tx_.query("SELECT home FROM node WHERE id = ?", id.value));
  TROTH_TRY(const bool any, row.step());
  if (!any)
    return fail(ErrorCode::NotFound, "there is no node {}", id.value);
  return NodeId{row.column_uint64(0)};
}

Result<Changes::Node*> Changes::add_node(const NodeRow& row) {
  const auto [place, is_new] = nodes_.try_emplace(row.attributes.node);
  if (!is_new)
    return fail(ErrorCode::AlreadyExists, "node {} is there already", row.attributes.node.value);
  place->second.now = row;
  place->second.row_changed = true;
  return &place->second;
}

void Changes::change(Node& node) {
  node.row_changed = true;
  node.now.from_seq = node.now.attributes.version = context_.seq;
  node.now.attributes.ctime = context_.time;
}

void Changes::touch(Node& directory) {
  directory.entries_changed = true;
  Attributes& now = directory.now.attributes;
  now.version = now.data_version = context_.seq;
  now.mtime = now.ctime = context_.time;
}

Result<std::optional<Entry>> Changes::entry(NodeId parent, std::string_view name) {
  return read_entry(tx_, parent, name, {});
}

Status Changes::add_entry(NodeId parent, std::string_view name, const Node& child) {
  return tx_.run("INSERT INTO dirent(parent, name, child, kind, from_seq) VALUES (?, ?, ?, ?, ?)",
                 parent.value, common::as_bytes(name), child.now.attributes.node.value,
                 static_cast<std::uint32_t>(child.now.attributes.kind), context_.seq.value);
}

Status Changes::remove_entry(NodeId parent, std::string_view name) {
  // What this same commit made was never there for anybody else.
  TROTH_TRY_VOID(
      tx_.run("INSERT INTO dirent_history(parent, name, to_seq, from_seq, child, kind) "
              "SELECT parent, name, ?3, from_seq, child, kind FROM dirent "
              "WHERE parent = ?1 AND name = ?2 AND from_seq < ?3",
              parent.value, common::as_bytes(name), context_.seq.value));
  return tx_.run("DELETE FROM dirent WHERE parent = ? AND name = ?", parent.value,
                 common::as_bytes(name));
}

Result<std::uint32_t> Changes::links_in(NodeId node, NodeId directory) {
  TROTH_TRY(auto row, tx_.query("SELECT links FROM hard_link WHERE node = ? AND directory = ?",
                                node.value, directory.value));
  TROTH_TRY(const bool found, row.step());
  return found ? static_cast<std::uint32_t>(row.column_int64(0)) : 0;
}

Status Changes::set_links_in(NodeId node, NodeId directory, std::uint32_t links) {
  TROTH_TRY_VOID(
      tx_.run("INSERT INTO hard_link_history(node, directory, to_seq, from_seq, links) "
              "SELECT node, directory, ?3, from_seq, links FROM hard_link "
              "WHERE node = ?1 AND directory = ?2 AND from_seq < ?3",
              node.value, directory.value, context_.seq.value));
  TROTH_TRY_VOID(tx_.run("DELETE FROM hard_link WHERE node = ? AND directory = ?", node.value,
                         directory.value));
  if (links == 0)
    return {};
  return tx_.run("INSERT INTO hard_link(node, directory, links, from_seq) VALUES (?, ?, ?, ?)",
                 node.value, directory.value, links, context_.seq.value);
}

Status Changes::add_link(Node& node, NodeId directory) {
  Attributes& now = node.now.attributes;
  if (now.links == 0) {
    now.links = 1;
    now.home = directory;
    return tx_.run("DELETE FROM orphan WHERE node = ?", now.node.value);
  }
  if (now.links == 1)
    TROTH_TRY_VOID(set_links_in(now.node, now.home, 1));
  TROTH_TRY(const std::uint32_t links, links_in(now.node, directory));
  ++now.links;
  return set_links_in(now.node, directory, links + 1);
}

Status Changes::remove_link(Node& node, NodeId directory) {
  Attributes& now = node.now.attributes;
  if (now.links == 0)
    return fail(ErrorCode::Corrupt, "node {} has an entry and no links", now.node.value);
  if (--now.links == 0)
    return {};
  TROTH_TRY(const std::uint32_t links, links_in(now.node, directory));
  if (links == 0)
    return fail(ErrorCode::Corrupt, "a link of node {} is not counted", now.node.value);
  TROTH_TRY_VOID(set_links_in(now.node, directory, links - 1));
  // The home must be a directory that has it still; with one link left, no counting is needed.
  TROTH_TRY(const std::uint32_t at_home, links_in(now.node, now.home));
  if (at_home == 0) {
    TROTH_TRY(auto other, tx_.query("SELECT directory FROM hard_link WHERE node = ? "
                                    "ORDER BY directory LIMIT 1",
                                    now.node.value));
    TROTH_TRY(const bool found, other.step());
    if (!found)
      return fail(ErrorCode::Corrupt, "node {} has links nowhere", now.node.value);
    now.home = NodeId{other.column_uint64(0)};
  }
  return now.links == 1 ? set_links_in(now.node, now.home, 0) : Status();
}

Status Changes::end(Node& node) {
  if (!node.before)
    return fail(ErrorCode::InvalidArgument, "one commit cannot make a node and end it");
  node.gone = true;
  change(node);
  const NodeId id = node.now.attributes.node;
  {
    TROTH_TRY(auto any, tx_.query("SELECT 1 FROM xattr WHERE node = ? LIMIT 1", id.value));
    TROTH_TRY(const bool has, any.step());
    if (!has)
      return {};
  }
  TROTH_TRY_VOID(
      tx_.run("INSERT INTO xattr_history(node, name, to_seq, from_seq, value) "
              "SELECT node, name, ?2, from_seq, value FROM xattr "
              "WHERE node = ?1 AND from_seq < ?2",
              id.value, context_.seq.value));
  return tx_.run("DELETE FROM xattr WHERE node = ?", id.value);
}

Status Changes::check_block(const BlockName& name) {
  TROTH_TRY(auto row, tx_.query("SELECT 1 FROM block WHERE name = ?", name.view()));
  TROTH_TRY(const bool there, row.step());
  if (!there)
    return fail(ErrorCode::Unavailable, "blocks are gone that a content is made of");
  return {};
}

Status Changes::set_content(Node& node, const Content& content, std::size_t position) {
  if (node.content_set)
    return fail(ErrorCode::InvalidArgument, "one commit sets a node's content once");
  node.content_set = true;
  if (!content.root.is_hole() && content.root != node.now.root)
    TROTH_TRY_VOID(check_block(content.root));
  Attributes& now = node.now.attributes;
  now.size = content.size;
  now.allocated = content.allocated;
  now.data_version = context_.seq;
  node.now.root = content.root;
  node.now.tail.reset();
  if (content.tail.empty())
    return {};
  const std::int64_t id = content_id(context_.seq, position);
  node.now.tail = id;
  if (context_.seal == nullptr || context_.seal->is_plain())
    return tx_.run("INSERT INTO content(id, bytes) VALUES (?, ?)", id, ByteView(content.tail));
  TROTH_TRY(const Bytes sealed, context_.seal->seal(static_cast<std::uint64_t>(id), content.tail));
  return tx_.run("INSERT INTO content(id, bytes) VALUES (?, ?)", id, ByteView(sealed));
}

Result<Bytes> Changes::tail_of(const Node& node) {
  if (!node.now.tail)
    return Bytes{};
  return read_tail(tx_, *node.now.tail, *context_.seal);
}

Status Changes::move_to_history(NodeId node) {
  return tx_.run("INSERT INTO node_history(to_seq, " TROTH_NODE_COLUMNS
                 ") SELECT ?2, " TROTH_NODE_COLUMNS " FROM node WHERE id = ?1",
                 node.value, context_.seq.value);
}

Status Changes::write_node(const Node& node) {
  const NodeId id = node.now.attributes.node;
  if (node.gone || (node.row_changed && node.before))
    TROTH_TRY_VOID(move_to_history(id));
  if (node.gone)
    return tx_.run("DELETE FROM node WHERE id = ?", id.value);
  if (node.row_changed) {
    TROTH_TRY(auto statement,
              tx_.query(node.before ? "REPLACE INTO node(" TROTH_NODE_COLUMNS
                                      ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
                                    : "INSERT INTO node(" TROTH_NODE_COLUMNS
                                      ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    bind_node_row(statement, 1, node.now);
    return statement.run();
  }
  return tx_.run("INSERT INTO touched(directory, seq, links, time) VALUES (?, ?, ?, ?)", id.value,
                 context_.seq.value, node.now.attributes.links, context_.time);
}

Status Changes::finish(Executed& into) {
  std::uint64_t nodes = context_.before.nodes;
  std::uint64_t bytes = context_.before.bytes;
  for (auto& [id, node] : nodes_) {
    if (!node.row_changed && !node.entries_changed)
      continue;
    // A directory whose row is written anyway needs no narrow row beside it.
    if (node.row_changed)
      node.now.from_seq = context_.seq;
    TROTH_TRY_VOID(write_node(node));
    if (node.before) {
      bytes -= node.before->attributes.allocated;
      --nodes;
    }
    if (!node.gone) {
      bytes += node.now.attributes.allocated;
      ++nodes;
    }
    NodeOutcome& outcome = into.nodes.emplace_back();
    outcome.attributes = node.now.attributes;
    outcome.gone = node.gone;
    if (node.before)
      outcome.before = node.before->attributes;
  }
  into.total_nodes = nodes;
  into.total_bytes = bytes;
  return {};
}

}  // namespace fileserver::store
