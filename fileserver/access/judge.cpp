// Ways and rights to nodes.

#include "fileserver/access/judge.hpp"

#include <cerrno>

namespace fileserver::access {
namespace {

// Deeper than any volume has nodes: only a damaged one has a way that long.
constexpr std::uint64_t kMostSteps = std::uint64_t{1} << 32;
// So many directories of one way are kept in the cache; who goes on from there finds the others.
constexpr std::size_t kKeptOfOneWay = 64;

}  // namespace

Result<Judge::Governor> Judge::governor_of(const Attributes& node) {
  Governor governor{is_directory(node) ? node.node : node.home, std::nullopt};
  TROTH_TRY(governor.list, context_.source.list(governor.directory));
  return governor;
}

Result<Verdict> Judge::has(Need need, const Attributes& node) {
  TROTH_TRY(const Governor governor, governor_of(node));
  return may(context_.caller, need, node, governor.acl(), governor.directory);
}

Judge::Way Judge::kept(NodeId directory) {
  if (context_.cache == nullptr || !context_.generation)
    return Way::Closed;
  return context_.cache->find({{context_.volume, directory}, context_.caller.fingerprint()},
                              *context_.generation);
}

void Judge::keep(NodeId directory, Way way) {
  if (context_.cache != nullptr && context_.generation)
    context_.cache->keep({{context_.volume, directory}, context_.caller.fingerprint()},
                         *context_.generation, way);
}

Result<Judge::Way> Judge::open_way(NodeId directory) {
  struct Passed {
    NodeId directory;
    bool by_administration = false;
  };
  std::vector<Passed> passed;
  Way way = Way::Open;
  bool by_administration = false;
  for (std::uint64_t step = 0; step < kMostSteps; ++step) {
    if (const Way above = kept(directory); above != Way::Closed) {
      way = above;
      break;
    }
    TROTH_TRY(const auto node, context_.source.attributes(directory));
    if (!node || !is_directory(*node))
      return Way::Closed;
    TROTH_TRY(const Verdict verdict, has(Need::Search, *node));
    if (!verdict.allowed)
      return Way::Closed;
    if (passed.size() < kKeptOfOneWay)
      passed.push_back({directory, verdict.by_administration()});
    by_administration = by_administration || verdict.by_administration();
    if (directory == store::kRootNode)
      break;
    directory = node->home;
  }
  // Each knows what it and those above it needed: from the top down. Where some found no room, the
  // others are below them and need what all did.
  const bool some_lack = passed.size() == kKeptOfOneWay;
  if (by_administration && some_lack)
    way = Way::ByAdministration;
  for (auto each = passed.rbegin(); each != passed.rend(); ++each) {
    if (each->by_administration)
      way = Way::ByAdministration;
    keep(each->directory, way);
  }
  return way;
}

Result<Judge::Way> Judge::way_to(const Attributes& node) {
  if (node.node == store::kRootNode)
    return Way::Open;
  if (context_.via && !is_directory(node) && *context_.via != node.home) {
    TROTH_TRY(const bool linked, context_.source.has_link(*context_.via, node.node));
    if (linked) {
      TROTH_TRY(const Way way, open_way(*context_.via));
      if (way != Way::Closed)
        return way;
    }
  }
  return open_way(node.home);
}

Result<Verdict> Judge::reach(const Attributes& node) {
  if (node.links == 0) {
    if (context_.holds && context_.holds(node.node))
      return Verdict{};
    return Verdict::refuse(Rule::Nameless, ENOENT, node);
  }
  TROTH_TRY(const Way way, way_to(node));
  if (way == Way::Closed)
    return Verdict::refuse(Rule::Path, ENOENT, node);
  return way == Way::Open ? Verdict{} : Verdict::allow(Rule::Administrator, node);
}

Result<Verdict> Judge::all(const Attributes& node, std::initializer_list<Need> needs) {
  TROTH_TRY(Verdict verdict, reach(node));
  for (const Need need : needs) {
    if (!verdict.allowed)
      return verdict;
    TROTH_TRY(const Verdict next, has(need, node));
    verdict = verdict.then(next);
  }
  return verdict;
}

Result<Verdict> Judge::search(const Attributes& directory) {
  return all(directory, {Need::Search});
}

Result<Verdict> Judge::list(const Attributes& directory) {
  return all(directory, {Need::List});
}

Result<Verdict> Judge::open(const Attributes& file, const OpenWish& wish) {
  TROTH_TRY(Verdict verdict, reach(file));
  const auto want = [&](bool wanted, Need need) -> Result<bool> {
    if (!wanted || !verdict.allowed)
      return verdict.allowed;
    TROTH_TRY(const Verdict next, has(need, file));
    verdict = verdict.then(next);
    return verdict.allowed;
  };
  TROTH_TRY_VOID(want(wish.read, is_directory(file) ? Need::List : Need::ReadFile));
  TROTH_TRY_VOID(want(wish.write, is_directory(file) ? Need::Insert : Need::WriteFile));
  TROTH_TRY_VOID(want(wish.execute, is_directory(file) ? Need::Search : Need::ExecuteFile));
  return verdict;
}

Result<Verdict> Judge::fetch(const Attributes& file) {
  TROTH_TRY(const Verdict verdict, all(file, {Need::ReadFile}));
  if (verdict.allowed && !verdict.by_administration())
    return verdict;
  if (verdict.error_number == ENOENT || context_.caller.uid() != file.uid)
    return verdict;
  TROTH_TRY(const Governor governor, governor_of(file));
  const bool right = !governor.list || (rights_of(context_.caller, *governor.list) &
                                        common::fileproto::right::kRead) != 0;
  return right ? Verdict::allow(Rule::OwnFile, file) : verdict;
}

Result<Verdict> Judge::store(const Attributes& file) {
  TROTH_TRY(const Verdict verdict, all(file, {Need::WriteFile}));
  if (verdict.allowed && !verdict.by_administration())
    return verdict;
  if (verdict.error_number == ENOENT || context_.caller.uid() != file.uid)
    return verdict;
  TROTH_TRY(const Governor governor, governor_of(file));
  constexpr std::uint8_t kEither =
      common::fileproto::right::kWrite | common::fileproto::right::kInsert;
  const bool right = !governor.list || (rights_of(context_.caller, *governor.list) & kEither) != 0;
  return right ? Verdict::allow(Rule::OwnFile, file) : verdict;
}

Result<Verdict> Judge::lock(const Attributes& file) {
  return all(file, {Need::LockFile});
}

Result<Permissions> Judge::permissions(const Attributes& node) {
  TROTH_TRY(const Governor governor, governor_of(node));
  Permissions found;
  found.caller = callers_bits(context_.caller, node, governor.acl(), governor.directory);
  found.everybody = everybodys_bits(node, governor.acl());
  if (governor.list)
    found.rights = rights_of(context_.caller, *governor.list);
  return found;
}

Result<Verdict> Judge::owns(const Attributes& node) {
  TROTH_TRY(const Governor governor, governor_of(node));
  return may_own(context_.caller, node, governor.acl(), governor.directory);
}

Verdict Judge::both(const Verdict& now, const Verdict& then) {
  if (!now.allowed || then.allowed)
    return now;
  Verdict verdict = then;
  verdict.rule = Rule::Then;
  return verdict;
}

}  // namespace fileserver::access
