// Making, linking, removing and renaming.

#include <cerrno>

#include "fileserver/access/judge.hpp"

namespace fileserver::access {
Result<Verdict> Judge::make(const Attributes& directory, NodeKind kind) {
  TROTH_TRY(const Verdict verdict, all(directory, {Need::Search, Need::Insert}));
  if (verdict.allowed && kind == NodeKind::Directory) {
    TROTH_TRY(const Verdict room, room_below(directory));
    if (!room.allowed)
      return room;
  }
  const bool device = kind == NodeKind::CharacterDevice || kind == NodeKind::BlockDevice;
  if (!verdict.allowed || !device)
    return verdict;
  return context_.caller.is_administrator() ? Verdict::allow(Rule::Administrator, directory)
                                            : Verdict::refuse(Rule::Device, EPERM, directory);
}

// Not how deep the directories are that one brings along which is moved: those that come to lie too
// deep are nobody's to get at.
Result<Verdict> Judge::room_below(const Attributes& directory) {
  TROTH_TRY(const Known known, open_way(directory.node));
  return known.depth < store::kMaxDepth ? Verdict{}
                                        : Verdict::refuse(Rule::TooDeep, ENAMETOOLONG, directory);
}

Result<Verdict> Judge::link(const Attributes& node, const Attributes& directory) {
  TROTH_TRY(const Verdict known, reach(node));
  if (!known.allowed)
    return known;
  TROTH_TRY(const Verdict verdict, all(directory, {Need::Search, Need::Insert}));
  if (!verdict.allowed)
    return verdict;
  if (is_directory(node))
    return Verdict::refuse(Rule::LinkedDirectory, EPERM, node);
  // Of a node without a name the first link is a creation.
  if (node.links == 0 || node.home == directory.node)
    return verdict;
  TROTH_TRY(const auto its_list, context_.source.list(node.home));
  TROTH_TRY(const auto new_list, context_.source.list(directory.node));
  if (its_list == new_list)
    return verdict;
  TROTH_TRY(const auto home, context_.source.attributes(node.home));
  if (!home)
    return Verdict::refuse(Rule::LinkLists, EPERM, node);
  Verdict owned = verdict;
  for (const Attributes* each : {&*home, &directory}) {
    TROTH_TRY(const Verdict next, owns(*each));
    if (!next.allowed)
      return Verdict::refuse(Rule::LinkLists, EPERM, *each);
    owned = owned.then(next);
  }
  return owned;
}

Result<Verdict> Judge::remove_from(const Attributes& directory) {
  return all(directory, {Need::Search, Need::Delete});
}

// Under a list the sticky bit means as little as the others of the mode.
Result<Verdict> Judge::sticky(const Attributes& directory, const Attributes& victim) {
  const std::uint32_t uid = context_.caller.uid();
  if ((directory.mode & kSticky) == 0 || uid == directory.uid || uid == victim.uid)
    return Verdict{};
  TROTH_TRY(const Governor governor, governor_of(directory));
  if (governor.list)
    return Verdict{};
  return context_.caller.is_administrator() ? Verdict::allow(Rule::Administrator, directory)
                                            : Verdict::refuse(Rule::Sticky, EPERM, directory);
}

Result<Verdict> Judge::remove(const Attributes& directory, const Attributes& victim) {
  TROTH_TRY(const Verdict verdict, remove_from(directory));
  if (!verdict.allowed)
    return verdict;
  TROTH_TRY(const Verdict freed, sticky(directory, victim));
  return freed.allowed && !freed.by_administration() ? verdict : freed;
}

// What has the name there goes from it.
Result<Verdict> Judge::leave(const RenameEnd& end) {
  return end.node == nullptr ? remove_from(end.directory) : remove(end.directory, *end.node);
}

// A directory that gets another parent is itself written: its entry ".." changes.
Result<Verdict> Judge::move_itself(const RenameEnd& end, const RenameEnd& other) {
  if (end.node == nullptr || !is_directory(*end.node) ||
      end.directory.node == other.directory.node) {
    return Verdict{};
  }
  TROTH_TRY(const Verdict room, room_below(other.directory));
  if (!room.allowed)
    return room;
  return has(Need::MoveItself, *end.node);
}

Result<Verdict> Judge::rename(const RenameEnd& from, const RenameEnd& to, bool exchange) {
  TROTH_TRY(Verdict verdict, search(from.directory));
  const auto also = [&](auto&& judgement) -> Result<bool> {
    if (!verdict.allowed)
      return false;
    TROTH_TRY(const Verdict next, judgement());
    // What says nothing of its own adds nothing.
    if (!next.allowed || next.rule != Rule::Nothing)
      verdict = verdict.then(next);
    return verdict.allowed;
  };
  TROTH_TRY_VOID(also([&] { return search(to.directory); }));
  TROTH_TRY_VOID(also([&] { return leave(from); }));
  TROTH_TRY_VOID(also([&] { return has(Need::Insert, to.directory); }));
  if (exchange || to.node != nullptr)
    TROTH_TRY_VOID(also([&] { return leave(to); }));
  if (exchange)
    TROTH_TRY_VOID(also([&] { return has(Need::Insert, from.directory); }));
  TROTH_TRY_VOID(also([&] { return move_itself(from, to); }));
  if (exchange)
    TROTH_TRY_VOID(also([&] { return move_itself(to, from); }));
  return verdict;
}

}  // namespace fileserver::access
