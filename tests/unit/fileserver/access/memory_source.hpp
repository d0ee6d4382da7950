#pragma once

// A small tree of nodes to judge, without a volume.

#include <map>
#include <set>

#include "fileserver/access/judge.hpp"

namespace access_test {

using namespace fileserver::access;
using common::VolumeId;
using fileserver::store::kRootNode;
namespace right = common::fileproto::right;

// One row of a table of nodes.
inline Attributes node(std::uint64_t id, NodeKind kind, std::uint32_t mode, std::uint32_t uid,
                       std::uint32_t gid, std::uint64_t home) {
  Attributes made;
  made.node = NodeId(id);
  made.kind = kind;
  made.mode = mode;
  made.uid = uid;
  made.gid = gid;
  made.links = kind == NodeKind::Directory ? 2 : 1;
  made.home = NodeId(home);
  return made;
}

class MemorySource final : public Source {
 public:
  MemorySource() { add(node(1, NodeKind::Directory, 0755, 0, 0, 1)); }

  const Attributes& add(const Attributes& made) { return nodes_[made.node] = made; }
  Attributes& operator[](std::uint64_t id) { return nodes_.at(NodeId(id)); }
  void set_list(std::uint64_t directory, Acl list) {
    lists_[NodeId(directory)] = canonical(std::move(list)).value();
  }
  void no_list(std::uint64_t directory) { lists_.erase(NodeId(directory)); }
  void add_link(std::uint64_t directory, std::uint64_t id) {
    links_.emplace(NodeId(directory), NodeId(id));
  }
  [[nodiscard]] int reads() const { return reads_; }

  Result<std::optional<Attributes>> attributes(NodeId id) override {
    ++reads_;
    const auto found = nodes_.find(id);
    return found == nodes_.end() ? std::optional<Attributes>() : found->second;
  }
  Result<std::optional<Acl>> list(NodeId directory) override {
    const auto found = lists_.find(directory);
    return found == lists_.end() ? std::optional<Acl>() : found->second;
  }
  Result<bool> has_link(NodeId directory, NodeId id) override {
    return links_.contains({directory, id});
  }

 private:
  std::map<NodeId, Attributes> nodes_;
  std::map<NodeId, Acl> lists_;
  std::set<std::pair<NodeId, NodeId>> links_;
  int reads_ = 0;
};

// A user with a ticket.
inline Caller user(std::uint32_t id, std::vector<std::uint32_t> groups = {}) {
  std::vector<PrincipalId> ids{common::ticket::kAnyUser, common::ticket::kAuthUser};
  for (const std::uint32_t group : groups)
    ids.emplace_back(group);
  return Caller::of({"user", common::ticket::Kind::User, PrincipalId(id)}, ids, {}, {}).value();
}
inline Caller administrator() {
  return user(10'000, {common::ticket::kAdministrators.value});
}
// A local user of a trusted host, as root-run suites of tests are.
inline Caller local(std::uint32_t uid, std::uint32_t gid, std::vector<std::uint32_t> groups = {}) {
  static const std::vector<PrincipalId> kHosts{PrincipalId(20'000)};
  return Caller::of({"host/desk", common::ticket::Kind::Host, PrincipalId(20'000)}, {},
                    common::fileproto::LocalUser{uid, gid, std::move(groups)}, {.hosts = kHosts})
      .value();
}
inline Caller anybody() {
  return Caller::of({"user", common::ticket::Kind::User, PrincipalId(10'000)}, {},
                    common::fileproto::AnyUser{}, {})
      .value();
}

}  // namespace access_test
