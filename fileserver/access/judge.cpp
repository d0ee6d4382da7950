// Ways and rights to nodes.

#include "fileserver/access/judge.hpp"

#include <cerrno>
#include <chrono>

namespace fileserver::access {
namespace {

using common::ErrorCode;

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

// Whether others may go by what is found out of it.
bool Judge::is_shared(NodeId directory) const {
  return context_.cache != nullptr && context_.generation &&
         !context_.source.is_provisional(directory);
}

Judge::Known Judge::kept(NodeId directory) const {
  if (is_shared(directory))
    return context_.cache->find({{context_.volume, directory}, context_.caller.fingerprint()},
                                *context_.generation);
  const auto found = own_.find(directory);
  return found == own_.end() ? Known{} : found->second;
}

void Judge::keep(NodeId directory, const Known& known) {
  if (is_shared(directory))
    context_.cache->keep({{context_.volume, directory}, context_.caller.fingerprint()},
                         *context_.generation, known);
  else
    own_[directory] = known;
}

Status Judge::take_step() {
  if (!context_.most_steps || ++steps_ <= *context_.most_steps)
    return {};
  return tl::unexpected(common::Error{ErrorCode::Overloaded,
                                      "rights have changed on a long way: try again",
                                      std::chrono::milliseconds(50)});
}

Result<Judge::Known> Judge::open_way(NodeId directory) {
  struct Passed {
    NodeId directory;
    bool by_administration = false;
  };
  std::vector<Passed> passed;
  Known above{Way::Open, 0};
  bool by_administration = false;
  std::uint32_t steps = 0;
  for (;; ++steps) {
    if (const Known known = kept(directory); known.way != Way::Closed) {
      above = known;
      break;
    }
    if (steps > store::kMaxDepth)
      return Known{Way::Closed, steps};
    if (!context_.source.is_provisional(directory))
      TROTH_TRY_VOID(take_step());
    TROTH_TRY(const auto node, context_.source.attributes(directory));
    if (!node || !is_directory(*node))
      return Known{};
    TROTH_TRY(const Verdict verdict, has(Need::Search, *node));
    if (!verdict.allowed)
      return Known{};
    if (passed.size() < kKeptOfOneWay)
      passed.push_back({directory, verdict.by_administration()});
    by_administration = by_administration || verdict.by_administration();
    if (directory == store::kRootNode)
      break;
    directory = node->home;
  }
  const std::uint32_t depth = above.depth + steps;
  if (depth > store::kMaxDepth)
    return Known{Way::Closed, depth};
  // Each knows what it and those above it needed: from the top down. Where some found no room, the
  // others are below them and need what all did.
  Way way = above.way;
  const bool some_lack = passed.size() == kKeptOfOneWay;
  if (by_administration && some_lack)
    way = Way::ByAdministration;
  for (std::size_t i = passed.size(); i-- > 0;) {
    if (passed[i].by_administration)
      way = Way::ByAdministration;
    keep(passed[i].directory, {way, depth - static_cast<std::uint32_t>(i)});
  }
  return Known{way, depth};
}

Result<Judge::Known> Judge::way_to(const Attributes& node) {
  if (node.node == store::kRootNode)
    return Known{Way::Open, 0};
  if (context_.via && !is_directory(node) && *context_.via != node.home) {
    TROTH_TRY(const bool linked, context_.source.has_link(*context_.via, node.node));
    if (linked) {
      TROTH_TRY(const Known known, open_way(*context_.via));
      if (known.way != Way::Closed)
        return known;
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
  TROTH_TRY(const Known known, way_to(node));
  if (known.way == Way::Closed)
    return known.depth > store::kMaxDepth ? Verdict::refuse(Rule::TooDeep, ENAMETOOLONG, node)
                                          : Verdict::refuse(Rule::Path, ENOENT, node);
  return known.way == Way::Open ? Verdict{} : Verdict::allow(Rule::Administrator, node);
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
