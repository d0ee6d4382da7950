#pragma once

// Everything below a directory of a cell, in bounded memory and without recursion, however deep or
// wide it is (F62, F63).

#include <string>
#include <vector>

#include "common/fileclient/walker.hpp"

namespace common::fileclient {

// An entry as the visitor sees it; valid during its call.
struct TreeEntry {
  Fid fid;  // of an attached volume's root where that was entered
  Fid dir;  // the directory that the name is in
  const std::string& name;
  const std::string& path;  // of the entry, beginning as the top's
  const fileproto::Attributes& node;
  std::size_t depth = 0;  // the top has 0

  [[nodiscard]] bool is_directory() const { return node.kind == fileproto::NodeKind::Directory; }
};

class TreeVisitor {
 public:
  TreeVisitor() = default;
  TreeVisitor(const TreeVisitor&) = delete;
  TreeVisitor& operator=(const TreeVisitor&) = delete;
  virtual ~TreeVisitor() = default;

  // Before what is below it; true: go into this directory. A failure ends the walk.
  virtual Result<bool> enter(const TreeEntry& entry) = 0;
  // After all that is below a directory that was gone into.
  virtual Status leave(const TreeEntry& /*directory*/) { return {}; }
  // A directory cannot be listed (any further), or an attached volume not be entered; the walk goes
  // on behind it.
  virtual Status trouble(const std::string& path, const Error& error) = 0;
};

struct WalkOptions {
  CallOptions calls;
  bool enter_volumes = true;  // that are attached below
};

// Entries of a directory come in byte order. `top` itself comes first. What is made or removed
// meanwhile may be seen or not; everything else is seen once.
[[nodiscard]] Status walk_tree(FileClient& client, const Found& top, TreeVisitor& visitor,
                               const WalkOptions& options);

// One directory's entries in byte order, page by page.
class Listing {
 public:
  Listing(FileClient& client, Fid dir, CallOptions calls)
      : client_(client), dir_(dir), calls_(calls) {}

  // The next entry, until the following call; nullptr: that was the last.
  [[nodiscard]] Result<const fileproto::ListEntry*> next();
  // The entry of that name. Names must be asked for in ascending order, and next() not be mixed in.
  [[nodiscard]] Result<const fileproto::ListEntry*> find(std::string_view name);
  // Forgets the page at hand; the next entry will be asked for anew.
  void shrink();

 private:
  [[nodiscard]] Status fill();

  FileClient& client_;
  Fid dir_;
  CallOptions calls_;
  std::vector<fileproto::ListEntry> page_;
  std::size_t at_ = 0;
  std::string after_;
  bool ended_ = false;
};

}  // namespace common::fileclient
