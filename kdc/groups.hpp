#pragma once

// Groups of principals and groups, which users may own.

#include <optional>
#include <string>
#include <vector>

#include "kdc/core.hpp"
#include "kdc/group_graph.hpp"

namespace kdc {

struct Group {
  Id id;
  std::string name;
  Id owner;  // a principal or a group
  Time created{};
  Time changed{};
};

struct Member {
  Id id;
  std::string name;
};

// Groups that carry one user's name.
inline constexpr std::uint64_t kMostOwnedGroups = 200;

// What one principal may do, as of one state of the directory.
struct Membership {
  std::vector<Id> groups;  // ascending
  std::uint64_t directory = 0;
};

struct DirectoryChanges {
  std::uint64_t version = 0;  // ask from here the next time
  bool everything = false;    // too much has changed to be listed
  std::vector<Id> principals;
};

// What a principal is to a group, now.
struct GroupRights {
  bool owner = false;          // it, or a group that it is in
  bool member = false;         // directly or through others
  bool administrator = false;  // of the cell; owner or not, it manages the group
  bool sensitive = false;      // the group is, or lies in, system:administrators or auditors
};

// Safe from any thread; changes block on the disk.
class Groups {
 public:
  explicit Groups(Core& core) : core_(core) {}

  [[nodiscard]] common::Result<std::optional<Group>> find(const std::string& name);
  [[nodiscard]] common::Result<std::optional<Group>> find(Id id);
  [[nodiscard]] common::Result<std::vector<Group>> list(const std::string& after,
                                                        std::size_t limit);
  // Those that carry the principal's name or that it is in, directly or through others.
  [[nodiscard]] common::Result<std::vector<Group>> list_of(Id principal, const std::string& after,
                                                           std::size_t limit);
  [[nodiscard]] common::Result<std::vector<Member>> members(Id group, Id after, std::size_t limit);

  // All groups of a principal, directly or through others, for its ticket.
  [[nodiscard]] common::Result<Membership> closure(Id principal);

  [[nodiscard]] common::Result<bool> manages(Id principal, Id group);
  // A disabled principal has none.
  [[nodiscard]] common::Result<GroupRights> rights(Id principal, Id group);
  [[nodiscard]] common::Result<bool> administers(Id principal);

  // `alice:friends` by alice, who owns it then; any name by an administrator, for any owner.
  [[nodiscard]] common::Result<Id> create(const Actor& actor, const std::string& name,
                                          std::optional<Id> owner = std::nullopt,
                                          std::optional<Id> id = std::nullopt);
  // Whoever manages the group. AlreadyExists, NotFound; see check_nesting. The last enabled
  // administrator stays one (Conflict).
  [[nodiscard]] common::Status add_member(const Actor& actor, Id group, Id member);
  [[nodiscard]] common::Status remove_member(const Actor& actor, Id group, Id member);
  [[nodiscard]] common::Status set_owner(const Actor& actor, Id group, Id owner);
  // Refused for the cell's own four, and while it owns others (Conflict).
  [[nodiscard]] common::Status remove(const Actor& actor, const std::string& group);
  // Whether that was done by the same operation before. Conflict: it did something else.
  [[nodiscard]] common::Result<bool> was_removed(const Actor& actor, const std::string& group);

  // Raised by every change of groups, disabled flags and removals.
  [[nodiscard]] common::Result<std::uint64_t> directory_version();
  [[nodiscard]] common::Result<DirectoryChanges> changes_since(std::uint64_t version);

 private:
  Core& core_;
};

// Inside a transaction.
common::Status insert_group(common::db::WriteTx& tx, Id id, std::string_view name, Id owner,
                            Time now);
common::Result<std::optional<Group>> find_group(common::db::ReadTx& tx, Id id);
common::Result<DirectoryChanges> directory_changes(common::db::ReadTx& tx, std::uint64_t version);
// Conflict if nobody would be left who may administer the cell.
common::Status need_administrators(common::db::ReadTx& tx);

}  // namespace kdc
