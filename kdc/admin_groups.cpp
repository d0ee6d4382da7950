// Calls about groups. Their owners need no fresh proof, unless the group leads to power over the
// cell.

#include <algorithm>

#include "kdc/admin_call.hpp"
#include "kdc/names.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::rpc::Reply;
using common::wire::JsonWriter;

Result<Group> group_named(AdminCall& call) {
  TROTH_TRY(const std::string name, call.name("group"));
  TROTH_TRY(auto group, call.database().groups().find(name));
  if (!group)
    return fail(ErrorCode::NotFound, "there is no group {}", name);
  return *std::move(group);
}

// Whether who is in this group, or in one that owns what it leads to, can come into one of the
// cell's own.
Result<bool> leads_to_power(AdminCall& call, Id group) {
  return call.database().core().read([&](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row,
              tx.query("WITH RECURSIVE reach(id) AS (SELECT ?1 UNION "
                       "SELECT in_group FROM membership JOIN reach ON member = reach.id UNION "
                       "SELECT user_group.id FROM user_group JOIN reach ON owner = reach.id) "
                       "SELECT 1 FROM reach JOIN user_group ON user_group.id = reach.id "
                       "WHERE name >= 'system:' AND name < 'system;' LIMIT 1",
                       group.value));
    return row.step();
  });
}

// Whoever may not manage it at all is refused by the change itself, in its transaction.
Status need_fresh_for(AdminCall& call, const Group& group) {
  TROTH_TRY(const GroupRights rights, call.database().groups().rights(call.caller().id, group.id));
  if (!rights.owner)
    return rights.administrator ? call.need_fresh() : Status{};
  TROTH_TRY(const bool power, leads_to_power(call, group.id));
  return power ? call.need_fresh() : Status{};
}

Result<Reply> group_create(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"group", "owner", "id"}));
  TROTH_TRY(const std::string name, call.name("group"));
  TROTH_TRY(const auto id, call.optional_id());
  TROTH_TRY(const std::string owner_name, call.optional_name("owner"));
  TROTH_TRY_VOID(common::ticket::check_group_name(name));
  std::optional<Id> owner;
  if (!owner_name.empty()) {
    TROTH_TRY(owner, call.database().principals().id_of(owner_name));
  }
  const bool plain =
      group_prefix(name) == call.caller().name && !id && (!owner || *owner == call.caller().id);
  if (!plain) {
    TROTH_TRY(const bool administrator, call.is_administrator());
    if (administrator)
      TROTH_TRY_VOID(call.need_fresh());
  }
  TROTH_TRY(const Id made, call.database().groups().create(call.actor(), name, owner, id));
  JsonWriter writer;
  writer.field("id", made.value);
  return answer(writer);
}

Result<Reply> change_member(AdminCall& call,
                            Status (Groups::*change)(const Actor&, Id group, Id member)) {
  TROTH_TRY_VOID(call.args().refuse_others({"group", "member"}));
  TROTH_TRY(const Group group, group_named(call));
  TROTH_TRY(const std::string member, call.name("member"));
  TROTH_TRY_VOID(need_fresh_for(call, group));
  TROTH_TRY(const Id id, call.database().principals().id_of(member));
  TROTH_TRY_VOID((call.database().groups().*change)(call.actor(), group.id, id));
  return nothing_to_say();
}

Result<Reply> group_add(AdminCall& call) {
  return change_member(call, &Groups::add_member);
}

Result<Reply> group_remove(AdminCall& call) {
  return change_member(call, &Groups::remove_member);
}

Result<Reply> group_owner(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"group", "owner"}));
  TROTH_TRY(const Group group, group_named(call));
  TROTH_TRY(const std::string owner, call.name("owner"));
  TROTH_TRY_VOID(need_fresh_for(call, group));
  TROTH_TRY(const Id id, call.database().principals().id_of(owner));
  TROTH_TRY_VOID(call.database().groups().set_owner(call.actor(), group.id, id));
  return nothing_to_say();
}

Result<Reply> group_delete(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"group"}));
  TROTH_TRY(const std::string name, call.name("group"));
  TROTH_TRY(const bool done, call.database().groups().was_removed(call.actor(), name));
  if (done)
    return nothing_to_say();
  TROTH_TRY(const Group group, group_named(call));
  TROTH_TRY_VOID(need_fresh_for(call, group));
  TROTH_TRY_VOID(call.database().groups().remove(call.actor(), group.name));
  return nothing_to_say();
}

Status write_group(AdminCall& call, JsonWriter& writer, const Group& group) {
  TROTH_TRY(const std::string owner, call.database().principals().name_of(group.owner));
  writer.field("name", group.name).field("id", group.id.value);
  writer.begin_object("owner").field("id", group.owner.value).field("name", owner).end();
  writer.field("created_ms", to_number(group.created))
      .field("changed_ms", to_number(group.changed));
  return {};
}

Result<Reply> group_list(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"after", "limit", "all"}));
  TROTH_TRY(const std::string after, call.optional_name("after"));
  TROTH_TRY(const std::size_t limit, call.limit());
  TROTH_TRY(const auto all, call.args().try_boolean("all"));
  if (all.value_or(false)) {
    TROTH_TRY(const bool administrator, call.is_administrator());
    if (!administrator)
      return fail(ErrorCode::PermissionDenied, "only administrators list every group");
  }
  TROTH_TRY(const auto groups,
            all.value_or(false) ? call.database().groups().list(after, limit)
                                : call.database().groups().list_of(call.caller().id, after, limit));
  JsonWriter writer;
  writer.begin_list("groups");
  for (const Group& group : groups) {
    writer.begin_object();
    TROTH_TRY_VOID(write_group(call, writer, group));
    writer.end();
  }
  writer.end().field("more", groups.size() == limit);
  return answer(writer);
}

Result<bool> may_see(AdminCall& call, const Group& group) {
  TROTH_TRY(const GroupRights rights, call.database().groups().rights(call.caller().id, group.id));
  if (rights.owner || rights.member || rights.administrator)
    return true;
  return call.is_auditor();
}

Result<Reply> group_show(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"group", "after", "limit"}));
  TROTH_TRY(const Group group, group_named(call));
  TROTH_TRY(const auto after, call.args().try_u64("after"));
  TROTH_TRY(const std::size_t limit, call.limit());
  TROTH_TRY(const bool allowed, may_see(call, group));
  if (!allowed)
    return fail(ErrorCode::PermissionDenied, "{} is shown to its members and who manages it",
                group.name);
  const Id from(static_cast<std::uint32_t>(std::min<std::uint64_t>(after.value_or(0), kLastId)));
  TROTH_TRY(const auto members, call.database().groups().members(group.id, from, limit));
  JsonWriter writer;
  TROTH_TRY_VOID(write_group(call, writer, group));
  writer.begin_list("members");
  for (const Member& member : members)
    writer.begin_object().field("id", member.id.value).field("name", member.name).end();
  writer.end().field("more", members.size() == limit);
  return answer(writer);
}

constexpr auto kAnybody = AdminRight::Anybody;
constexpr auto kAsItComes = Fresh::NotNeeded;  // the handler knows the group
constexpr AdminOperation kGroupOperations[] = {
    {"group-create", kAnybody, kAsItComes, kChange, group_create},
    {"group-add", kAnybody, kAsItComes, kChange, group_add},
    {"group-remove", kAnybody, kAsItComes, kChange, group_remove},
    {"group-owner", kAnybody, kAsItComes, kChange, group_owner},
    {"group-delete", kAnybody, kAsItComes, kChange, group_delete},
    {"group-list", kAnybody, Fresh::NotNeeded, kLook, group_list},
    {"group-show", kAnybody, Fresh::NotNeeded, kLook, group_show},
};

}  // namespace

std::span<const AdminOperation> group_operations() {
  return kGroupOperations;
}

}  // namespace kdc
