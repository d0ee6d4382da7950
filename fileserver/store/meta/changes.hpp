#pragma once

// What one commit changes, while it is carried out: nodes in memory until the end, so that each is
// written once however many operations touch it; entries and xattrs at once. Internal to the store.

#include <map>

#include "fileserver/store/meta/execute.hpp"
#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

class Changes {
 public:
  Changes(WriteTx& tx, const ExecuteContext& context) : tx_(tx), context_(context) {}

  struct Node {
    std::optional<NodeRow> before;  // none: made by this commit
    NodeRow now;
    bool row_changed = false;      // its own row must be written
    bool entries_changed = false;  // of a directory
    bool content_set = false;
    bool gone = false;
  };

  // NotFound if there is no such node (any more). The pointer stays valid.
  [[nodiscard]] Result<Node*> node(NodeId id);
  // The same, and it must be a directory that has a name, or the root.
  [[nodiscard]] Result<Node*> directory(NodeId id);
  // The directory that has it, as this commit leaves it so far, without keeping the node.
  [[nodiscard]] Result<NodeId> home_of(NodeId id);
  // A node that must not exist yet.
  [[nodiscard]] Result<Node*> add_node(const NodeRow& row);
  // Its attributes changed: writes its row and sets ctime.
  void change(Node& node);
  // An entry of the directory came or went.
  void touch(Node& directory);
  // No name and nobody who holds it open: it goes to history, with all that belongs to it.
  [[nodiscard]] Status end(Node& node);

  [[nodiscard]] Result<std::optional<Entry>> entry(NodeId parent, std::string_view name);
  [[nodiscard]] Status add_entry(NodeId parent, std::string_view name, const Node& child);
  [[nodiscard]] Status remove_entry(NodeId parent, std::string_view name);

  // One more or one less link in this directory: counts, `home` and `hard_link` follow. The caller
  // has changed the entry, and calls change() or end().
  [[nodiscard]] Status add_link(Node& node, NodeId directory);
  [[nodiscard]] Status remove_link(Node& node, NodeId directory);

  // Puts the content's tail into its place in this commit.
  [[nodiscard]] Status set_content(Node& node, const Content& content, std::size_t position);
  [[nodiscard]] Result<Bytes> tail_of(const Node& node);

  [[nodiscard]] WriteTx& tx() { return tx_; }
  [[nodiscard]] const ExecuteContext& context() const { return context_; }
  [[nodiscard]] Seq seq() const { return context_.seq; }

  // Writes the nodes; what happened to them, in order of id, and the new totals.
  [[nodiscard]] Status finish(Executed& into);

 private:
  // I1: a row refers to what the index has.
  [[nodiscard]] Status check_block(const BlockName& name);
  [[nodiscard]] Status write_node(const Node& node);
  [[nodiscard]] Status move_to_history(NodeId node);
  [[nodiscard]] Result<std::uint32_t> links_in(NodeId node, NodeId directory);
  [[nodiscard]] Status set_links_in(NodeId node, NodeId directory, std::uint32_t links);

  WriteTx& tx_;
  const ExecuteContext& context_;
  std::map<NodeId, Node> nodes_;
};

}  // namespace fileserver::store
