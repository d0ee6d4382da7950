#pragma once

// May this caller do that? One function for each operation of PROTOCOL.md 3; section 5 has the
// rules. Pure but for reading through a Source: run it before a change asks for promises, and again
// inside its transaction.
//
//   Judge judge({.caller = caller, .source = source, ...});
//   TROTH_TRY_VOID(enforce(judge.open(node, {.write = true}), caller));
//
// A verdict is about rights alone: that a name exists, that a directory is empty or that nobody
// moves a directory into itself is the store's to check. Callers read the attributes that they
// pass from the same moment.

#include <functional>
#include <unordered_map>

#include "fileserver/access/path_cache.hpp"
#include "fileserver/access/rules.hpp"
#include "fileserver/access/source.hpp"

namespace fileserver::access {

// Borrowed for the life of the judge.
struct JudgeContext {
  const Caller& caller;
  Source& source;
  common::VolumeId volume;
  // A directory named by the call over which its nodes are reached, if it has a link to them.
  std::optional<NodeId> via = std::nullopt;
  // Verdicts on directories, under this generation; without either they are judged by the rows, and
  // not kept.
  PathCache* cache = nullptr;
  std::optional<std::uint64_t> generation = std::nullopt;
  // How many directories may be read on all its ways; Overloaded beyond.
  std::optional<std::size_t> most_steps = std::nullopt;
  // Whether this caller has a node without a name open, or stages it, in this session.
  std::function<bool(NodeId)> holds = {};
};

struct OpenWish {
  bool read = false;
  bool write = false;
  bool execute = false;
};

enum class TimeWish : std::uint8_t { None, Now, Given };
struct AttributeWish {
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  bool size = false;
  TimeWish mtime = TimeWish::None;
  TimeWish atime = TimeWish::None;
};

// One end of a rename: a directory and what has the name in it.
struct RenameEnd {
  const Attributes& directory;
  const Attributes* node = nullptr;  // nullptr: nothing has the name
};

// What may be had of a node, for `access`.
struct Permissions {
  std::uint32_t caller = 0;     // rwx
  std::uint32_t everybody = 0;  // rwx
  std::uint8_t rights = 0;      // of the list
};

// One call's look at one moment, for it keeps what it has found; one thread. Failures are those of
// the source.
class Judge {
 public:
  explicit Judge(const JudgeContext& context) : context_(context) {}

  // --- ways ---
  // May the caller know of this node: look it up by its number, see its attributes, its target if
  // it is a symbolic link, its list, names of its attributes? Else NotFound: ENOENT.
  [[nodiscard]] Result<Verdict> reach(const Attributes& node);
  // May he look up names in this directory?
  [[nodiscard]] Result<Verdict> search(const Attributes& directory);
  // May he list its names? Attributes of what is in it only if he may search it as well.
  [[nodiscard]] Result<Verdict> list(const Attributes& directory);

  // --- files ---
  [[nodiscard]] Result<Verdict> open(const Attributes& file, const OpenWish& wish);
  // Bytes of a file that was opened before: its owner's whatever its bits say. What a handle
  // allowed is not asked here.
  [[nodiscard]] Result<Verdict> fetch(const Attributes& file);
  [[nodiscard]] Result<Verdict> store(const Attributes& file);
  [[nodiscard]] Result<Verdict> lock(const Attributes& file);
  [[nodiscard]] Result<Permissions> permissions(const Attributes& node);

  // --- names ---
  [[nodiscard]] Result<Verdict> make(const Attributes& directory, NodeKind kind);
  [[nodiscard]] Result<Verdict> link(const Attributes& node, const Attributes& directory);
  // The right to remove anything here, which is judged before the name is looked at; then what it
  // is. Also rmdir.
  [[nodiscard]] Result<Verdict> remove_from(const Attributes& directory);
  [[nodiscard]] Result<Verdict> remove(const Attributes& directory, const Attributes& victim);
  // Likewise: without nodes the rights in both directories only.
  [[nodiscard]] Result<Verdict> rename(const RenameEnd& from, const RenameEnd& to, bool exchange);

  // --- nodes ---
  [[nodiscard]] Result<Verdict> set_attributes(const Attributes& node, const AttributeWish& wish);
  [[nodiscard]] Result<Verdict> get_xattr(const Attributes& node, std::string_view name);
  [[nodiscard]] Result<Verdict> set_xattr(const Attributes& node, std::string_view name);
  [[nodiscard]] Result<Verdict> set_list(const Attributes& directory);

  // --- the past ---
  // Reading a version of the past needs the right now and then: `now` has been judged by the
  // present, `then` by another judge whose source is that moment.
  [[nodiscard]] static Verdict both(const Verdict& now, const Verdict& then);

  [[nodiscard]] const Caller& caller() const { return context_.caller; }

 private:
  // The list that governs a node.
  struct Governor {
    NodeId directory;
    std::optional<Acl> list;
    [[nodiscard]] const Acl* acl() const { return list ? &*list : nullptr; }
  };
  Result<Governor> governor_of(const Attributes& node);
  // By the node itself, its way apart.
  Result<Verdict> has(Need need, const Attributes& node);
  // The way, then each need in turn; the first refusal, else the last verdict that says something.
  Result<Verdict> all(const Attributes& node, std::initializer_list<Need> needs);
  Result<Verdict> owns(const Attributes& node);

  // May this directory and each one above be searched? Walks up, without recursion.
  using Way = PathCache::Way;
  using Known = PathCache::Known;
  Result<Known> open_way(NodeId directory);
  Result<Known> way_to(const Attributes& node);
  [[nodiscard]] Known kept(NodeId directory) const;
  void keep(NodeId directory, const Known& known);
  [[nodiscard]] bool is_shared(NodeId directory) const;
  Status take_step();
  // A directory that is to be in this one.
  Result<Verdict> room_below(const Attributes& directory);

  Result<Verdict> sticky(const Attributes& directory, const Attributes& victim);
  Result<Verdict> leave(const RenameEnd& end);
  Result<Verdict> move_itself(const RenameEnd& end, const RenameEnd& other);
  Result<Verdict> set_times(const Attributes& node, const AttributeWish& wish);
  Result<Verdict> set_owner(const Attributes& node, const AttributeWish& wish);

  const JudgeContext context_;
  std::size_t steps_ = 0;
  // Of this moment, where nothing is kept for others.
  std::unordered_map<NodeId, Known> own_;
};

// What an attribute change does to the mode, which the caller of the store must add to it.
[[nodiscard]] std::uint32_t mode_after(const Caller& caller, const Attributes& node,
                                       const AttributeWish& wish);

}  // namespace fileserver::access
