#include "kdc/groups.hpp"

#include "kdc/names.hpp"
#include "kdc/principals.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

constexpr std::string_view kGroupColumns =
    "SELECT id, name, owner, created, changed FROM user_group ";

// Changes that one answer lists; a service that is further behind starts anew.
constexpr std::size_t kMostChanges = 10'000;

Group group_from_row(const Statement& row) {
  return {.id = Id(static_cast<std::uint32_t>(row.column_uint64(0))),
          .name = std::string(row.column_text(1)),
          .owner = Id(static_cast<std::uint32_t>(row.column_uint64(2))),
          .created = time_from(row.column_int64(3)),
          .changed = time_from(row.column_int64(4))};
}

Result<std::optional<Group>> one_group(Result<Statement> found) {
  TROTH_TRY(Statement row, std::move(found));
  std::optional<Group> group;
  TROTH_TRY(const bool exists, row.step());
  if (exists)
    group = group_from_row(row);
  return group;
}

Result<std::optional<Group>> group_named(ReadTx& tx, std::string_view name) {
  static const std::string sql = std::string(kGroupColumns) + "WHERE name = ?1";
  return one_group(tx.query(sql, name));
}

Result<Group> need_group(ReadTx& tx, Id id) {
  TROTH_TRY(auto found, find_group(tx, id));
  if (!found)
    return fail(ErrorCode::NotFound, "there is no group {}", id.value);
  return *std::move(found);
}

// Of a principal or a group; NotFound.
Result<std::string> need_name(ReadTx& tx, Id id) {
  TROTH_TRY(auto group, find_group(tx, id));
  if (group)
    return std::move(group->name);
  TROTH_TRY(auto principal, find_principal(tx, id));
  if (principal)
    return std::move(principal->name);
  return fail(ErrorCode::NotFound, "there is no principal or group {}", id.value);
}

// Everybody belongs to these without being listed, so lists with them in would not be followed.
bool is_implied(Id id) {
  return id == kAnyUser || id == kAuthUser;
}

Result<std::uint64_t> count(Result<Statement> counting) {
  TROTH_TRY(Statement row, std::move(counting));
  TROTH_TRY(const bool counted, row.step());
  return counted ? row.column_uint64(0) : 0;
}

Change removal_of(const std::string& name, Id group) {
  return {.event = "group.delete",
          .subject = name,
          .right = Right::GroupManager,
          .object = group,
          .removes = true};
}

Status touch(WriteTx& tx, Id group, Time now) {
  return tx.run("UPDATE user_group SET changed = ?2 WHERE id = ?1", group.value, to_number(now));
}

// Whether this actor may make a group of that name for that owner.
Status check_creation(ReadTx& tx, const Actor& actor, const std::string& name, Id owner) {
  if (actor.id == kNobody)
    return {};
  TROTH_TRY(const bool administrator, is_administrator(tx, actor.id));
  if (administrator)
    return {};
  TROTH_TRY(const Principal maker, need_principal(tx, actor.id));
  if (maker.kind != Kind::User || group_prefix(name) != maker.name || owner != maker.id) {
    return fail(ErrorCode::PermissionDenied, "{} may make groups called {}:NAME, and own them",
                maker.name, maker.name);
  }
  const std::string first = maker.name + ':';
  const std::string end = maker.name + ';';  // follows ':'
  TROTH_TRY(const std::uint64_t has,
            count(tx.query("SELECT count(*) FROM user_group WHERE name >= ?1 AND name < ?2", first,
                           end)));
  if (has >= kMostOwnedGroups) {
    return fail(ErrorCode::ResourceExhausted, "{} has {} groups, which is as many as can be",
                maker.name, has);
  }
  return {};
}

Status check_prefix(ReadTx& tx, std::string_view name) {
  const std::string_view prefix = group_prefix(name);
  if (prefix == kSystemPrefix)
    return {};
  TROTH_TRY(const auto user, find_principal(tx, prefix));
  if (!user || user->kind != Kind::User)
    return fail(ErrorCode::NotFound, "there is no user {} to call a group after", prefix);
  return {};
}

}  // namespace

Result<std::optional<Group>> find_group(ReadTx& tx, Id id) {
  static const std::string sql = std::string(kGroupColumns) + "WHERE id = ?1";
  return one_group(tx.query(sql, id.value));
}

Status insert_group(WriteTx& tx, Id id, std::string_view name, Id owner, Time now) {
  return tx.run("INSERT INTO user_group VALUES (?1, ?2, ?3, ?4, ?4)", id.value, name, owner.value,
                to_number(now));
}

Status need_administrators(ReadTx& tx) {
  TROTH_TRY(const std::uint64_t left, count_administrators(tx));
  if (left > 0)
    return {};
  return fail(ErrorCode::Conflict,
              "nobody would be left to administer the cell; add another "
              "user to system:administrators first");
}

Result<std::optional<Group>> Groups::find(const std::string& name) {
  return core_.read([&](ReadTx& tx) { return group_named(tx, name); });
}

Result<std::optional<Group>> Groups::find(Id id) {
  return core_.read([&](ReadTx& tx) { return find_group(tx, id); });
}

Result<std::vector<Group>> Groups::list(const std::string& after, std::size_t limit) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<Group>> {
    static const std::string sql =
        std::string(kGroupColumns) + "WHERE name > ?1 ORDER BY name LIMIT ?2";
    TROTH_TRY(auto rows, tx.query(sql, after, std::min(limit, kMostListed)));
    std::vector<Group> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back(group_from_row(rows));
    }
  });
}

Result<std::vector<Group>> Groups::list_of(Id principal, const std::string& after,
                                           std::size_t limit) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<Group>> {
    TROTH_TRY(const Principal who, need_principal(tx, principal));
    const std::string first = who.name + ':';
    const std::string end = who.name + ';';  // follows ':'
    TROTH_TRY(auto rows,
              tx.query("WITH RECURSIVE up(id) AS (SELECT in_group FROM membership WHERE member = "
                       "?1 UNION SELECT in_group FROM up JOIN membership ON member = up.id) "
                       "SELECT id, name, owner, created, changed FROM user_group WHERE name > ?2 "
                       "AND ((name >= ?3 AND name < ?4) OR id IN up) ORDER BY name LIMIT ?5",
                       principal.value, after, first, end, std::min(limit, kMostListed)));
    std::vector<Group> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back(group_from_row(rows));
    }
  });
}

Result<GroupRights> Groups::rights(Id principal, Id group) {
  return core_.read([&](ReadTx& tx) -> Result<GroupRights> {
    TROTH_TRY(const Group about, need_group(tx, group));
    GroupRights rights;
    for (const Id power : {kAdministrators, kAuditors}) {
      TROTH_TRY(const bool within, is_within(tx, group, power));
      rights.sensitive = rights.sensitive || group == power || within;
    }
    TROTH_TRY(const bool enabled, is_enabled(tx, principal));
    if (!enabled)
      return rights;
    TROTH_TRY(const bool owns, is_within(tx, principal, about.owner));
    rights.owner = about.owner == principal || owns;
    TROTH_TRY(rights.member, is_within(tx, principal, group));
    TROTH_TRY(rights.administrator, is_within(tx, principal, kAdministrators));
    return rights;
  });
}

Result<std::vector<Member>> Groups::members(Id group, Id after, std::size_t limit) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<Member>> {
    TROTH_TRY_VOID(need_group(tx, group));
    TROTH_TRY(auto rows,
              tx.query("SELECT member, coalesce((SELECT name FROM principal WHERE id = member), "
                       "(SELECT name FROM user_group WHERE id = member), '') FROM membership "
                       "WHERE in_group = ?1 AND member > ?2 ORDER BY member LIMIT ?3",
                       group.value, after.value, std::min(limit, kMostListed)));
    std::vector<Member> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back({Id(static_cast<std::uint32_t>(rows.column_uint64(0))),
                       std::string(rows.column_text(1))});
    }
  });
}

Result<Membership> Groups::closure(Id principal) {
  return core_.read([&](ReadTx& tx) -> Result<Membership> {
    Membership membership;
    TROTH_TRY(membership.groups, closure_of(tx, principal));
    TROTH_TRY(membership.directory, count(tx.query("SELECT directory FROM cell")));
    return membership;
  });
}

Result<bool> Groups::manages(Id principal, Id group) {
  return core_.read([&](ReadTx& tx) { return manages_group(tx, principal, group); });
}

Result<bool> Groups::administers(Id principal) {
  return core_.read([&](ReadTx& tx) { return is_administrator(tx, principal); });
}

Result<Id> Groups::create(const Actor& actor, const std::string& name, std::optional<Id> owner,
                          std::optional<Id> id) {
  TROTH_TRY_VOID(common::ticket::check_group_name(name));
  const Id owned_by = owner.value_or(actor.id == kNobody ? kAdministrators : actor.id);
  const Change change{.event = "group.create",
                      .subject = name,
                      .details = fmt::format("owner={} id={}", owned_by.value, id ? id->value : 0),
                      .right = id ? Right::Administrator : Right::Anybody};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY_VOID(check_creation(tx, actor, name, owned_by));
    TROTH_TRY_VOID(check_prefix(tx, name));
    TROTH_TRY_VOID(need_name(tx, owned_by));
    TROTH_TRY(const auto same, group_named(tx, name));
    if (same)
      return fail(ErrorCode::AlreadyExists, "there is a group {} already", name);
    TROTH_TRY(const Id made, take_id(tx, id));
    TROTH_TRY_VOID(insert_group(tx, made, name, owned_by, now));
    return made.value;
  };
  TROTH_TRY(const std::uint64_t made, core_.change(actor, change, work));
  return Id(static_cast<std::uint32_t>(made));
}

Status Groups::add_member(const Actor& actor, Id group, Id member) {
  TROTH_TRY(const auto named, find(group));
  const Change change{.event = "group.add",
                      .subject = named ? named->name : fmt::format("id {}", group.value),
                      .details = fmt::format("member={}", member.value),
                      .right = Right::GroupManager,
                      .object = group};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY(const Group to, need_group(tx, group));
    TROTH_TRY(const std::string who, need_name(tx, member));
    if (is_implied(group) || is_implied(member))
      return fail(ErrorCode::InvalidArgument, "system:anyuser and system:authuser have no list");
    TROTH_TRY(const std::uint64_t there,
              count(tx.query("SELECT count(*) FROM membership WHERE member = ?1 AND in_group = ?2",
                             member.value, group.value)));
    if (there != 0)
      return fail(ErrorCode::AlreadyExists, "{} is in {} already", who, to.name);
    TROTH_TRY_VOID(check_nesting(tx, member, group));
    TROTH_TRY(const std::uint64_t size,
              count(tx.query("SELECT count(*) FROM membership WHERE in_group = ?1", group.value)));
    if (size >= kMostMembers)
      return fail(ErrorCode::ResourceExhausted, "{} has {} members, which is as many as can be",
                  to.name, size);
    TROTH_TRY_VOID(tx.run("INSERT INTO membership VALUES (?1, ?2)", member.value, group.value));
    TROTH_TRY_VOID(touch(tx, group, now));
    TROTH_TRY_VOID(note_directory_change(tx, member));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Status Groups::remove_member(const Actor& actor, Id group, Id member) {
  TROTH_TRY(const auto named, find(group));
  const Change change{.event = "group.remove",
                      .subject = named ? named->name : fmt::format("id {}", group.value),
                      .details = fmt::format("member={}", member.value),
                      .right = Right::GroupManager,
                      .object = group};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY(const Group from, need_group(tx, group));
    TROTH_TRY_VOID(tx.run("DELETE FROM membership WHERE member = ?1 AND in_group = ?2",
                          member.value, group.value));
    if (tx.changes() == 0)
      return fail(ErrorCode::NotFound, "{} is not in {}", member.value, from.name);
    TROTH_TRY_VOID(need_administrators(tx));
    TROTH_TRY_VOID(touch(tx, group, now));
    TROTH_TRY_VOID(note_directory_change(tx, member));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Status Groups::set_owner(const Actor& actor, Id group, Id owner) {
  TROTH_TRY(const auto named, find(group));
  const Change change{
      .event = "group.owner",
      .subject = named ? named->name : fmt::format("id {}", group.value),
      .details = fmt::format("owner={}", owner.value),
      .right = group.value < kFirstChosenId ? Right::Administrator : Right::GroupManager,
      .object = group};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY_VOID(need_group(tx, group));
    TROTH_TRY_VOID(need_name(tx, owner));
    if (is_implied(owner))
      return fail(ErrorCode::InvalidArgument, "everybody cannot own a group");
    TROTH_TRY_VOID(
        tx.run("UPDATE user_group SET owner = ?2 WHERE id = ?1", group.value, owner.value));
    TROTH_TRY_VOID(touch(tx, group, now));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Result<bool> Groups::was_removed(const Actor& actor, const std::string& group) {
  TROTH_TRY(const auto known, core_.known_result(actor, removal_of(group, kNobody)));
  return known.has_value();
}

Status Groups::remove(const Actor& actor, const std::string& name) {
  TROTH_TRY(const auto named, find(name));
  const Change change = removal_of(name, named ? named->id : kNobody);
  const auto work = [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
    TROTH_TRY(const auto found, group_named(tx, name));
    if (!found || found->id != change.object)
      return fail(ErrorCode::NotFound, "there is no group {}", name);
    const Group& gone = *found;
    const Id group = gone.id;
    if (group.value < kFirstChosenId)
      return fail(ErrorCode::Conflict, "{} belongs to the cell itself", gone.name);
    TROTH_TRY(const std::uint64_t owned,
              count(tx.query("SELECT count(*) FROM user_group WHERE owner = ?1 AND id <> ?1",
                             group.value)));
    if (owned != 0)
      return fail(ErrorCode::Conflict, "{} owns {} groups; give them to somebody else first",
                  gone.name, owned);
    TROTH_TRY_VOID(note_directory_change(tx, group));
    TROTH_TRY_VOID(
        tx.run("DELETE FROM membership WHERE member = ?1 OR in_group = ?1", group.value));
    TROTH_TRY_VOID(tx.run("DELETE FROM user_group WHERE id = ?1", group.value));
    TROTH_TRY_VOID(need_administrators(tx));
    return std::uint64_t{0};
  };
  return core_.change(actor, change, work).map([](std::uint64_t) {});
}

Result<std::uint64_t> Groups::directory_version() {
  return core_.read([](ReadTx& tx) { return count(tx.query("SELECT directory FROM cell")); });
}

Result<DirectoryChanges> Groups::changes_since(std::uint64_t version) {
  return core_.read([&](ReadTx& tx) { return directory_changes(tx, version); });
}

Result<DirectoryChanges> directory_changes(ReadTx& tx, std::uint64_t version) {
  DirectoryChanges changes;
  TROTH_TRY(changes.version, count(tx.query("SELECT directory FROM cell")));
  TROTH_TRY(const std::uint64_t forgotten, count(tx.query("SELECT forgotten FROM cell")));
  // A version from the future is one of a database that was put back.
  changes.everything = version < forgotten || version > changes.version;
  if (changes.everything)
    return changes;
  TROTH_TRY(auto rows, tx.query("SELECT DISTINCT principal FROM directory_change WHERE "
                                "version > ?1 ORDER BY principal LIMIT ?2",
                                version, kMostChanges + 1));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    changes.principals.emplace_back(static_cast<std::uint32_t>(rows.column_uint64(0)));
  }
  if (changes.principals.size() > kMostChanges ||
      (!changes.principals.empty() && changes.principals.front() == kNobody)) {
    changes.everything = true;
    changes.principals.clear();
  }
  return changes;
}

}  // namespace kdc
