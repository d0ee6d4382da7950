// Calls about services and hosts, and their keytabs.

#include "common/wire/binary.hpp"
#include "kdc/admin_call.hpp"
#include "kdc/disabled.hpp"
#include "kdc/names.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::rpc::Reply;
using common::wire::JsonWriter;

Result<Principal> service_named(AdminCall& call) {
  TROTH_TRY(Principal principal, call.principal());
  if (principal.kind == Kind::User)
    return fail(ErrorCode::InvalidArgument, "{} is a user and has no keytab", principal.name);
  return principal;
}

// The keys of the KDC's own services never leave it: who has them makes tickets for anybody.
Result<Reply> answer_keytab(AdminCall& call, const Principal& service, Kvno kvno) {
  JsonWriter writer;
  writer.field("kvno", kvno);
  if (is_own_service(service.name))
    return answer(writer);
  TROTH_TRY(auto keys, call.database().keys().all_of_service(service.id));
  TROTH_TRY(const auto keytab, keytab_of(call.database().core().cell(), service.name,
                                         std::move(keys), time_now(call.tools().clock), true));
  TROTH_TRY(Secret bytes, common::ticket::encode_keytab(keytab));
  return answer_secret(writer, std::move(bytes));
}

Result<Reply> service_add(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "id", "policy"}));
  NewPrincipal service;
  TROTH_TRY(service.name, call.name());
  TROTH_TRY(service.id, call.optional_id());
  TROTH_TRY(service.policy, call.optional_name("policy"));
  service.kind = service.name.starts_with("host/") ? Kind::Host : Kind::Service;
  TROTH_TRY_VOID(common::ticket::check_name(service.kind, service.name));
  TROTH_TRY(const Id id, call.database().principals().add_service(call.actor(), service));
  JsonWriter writer;
  writer.field("id", id.value).field("kvno", 1);
  return answer(writer);
}

Result<Reply> service_list(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"hosts", "after", "limit"}));
  TROTH_TRY(const auto hosts, call.args().try_boolean("hosts"));
  TROTH_TRY(const std::string after, call.optional_name("after"));
  TROTH_TRY(const std::size_t limit, call.limit());
  const Kind kind = hosts.value_or(false) ? Kind::Host : Kind::Service;
  TROTH_TRY(const auto services, call.database().principals().list(kind, after, limit));
  JsonWriter writer;
  writer.begin_list("services");
  for (const Principal& service : services) {
    writer.begin_object();
    write_principal(writer, service);
    writer.end();
  }
  writer.end().field("more", services.size() == limit);
  return answer(writer);
}

Result<Reply> service_keytab(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const Principal service, service_named(call));
  if (is_own_service(service.name)) {
    return fail(ErrorCode::PermissionDenied, "the keys of {} never leave the KDC", service.name);
  }
  const Actor actor = call.actor();
  TROTH_TRY_VOID(call.database().audit().record({.event = "service.keytab",
                                                 .actor = actor.id,
                                                 .actor_name = actor.name,
                                                 .subject = service.name,
                                                 .source = actor.source,
                                                 .outcome = std::string(kAuditOk)}));
  return answer_keytab(call, service, service.kvno);
}

Result<Reply> service_rotate(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const Principal service, service_named(call));
  TROTH_TRY(const Kvno kvno, call.database().keys().rotate(call.actor(), service.id));
  return answer_keytab(call, service, kvno);
}

Result<Reply> service_activate(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "kvno", "now"}));
  TROTH_TRY(const Principal service, service_named(call));
  TROTH_TRY(const std::uint32_t kvno, call.args().u32("kvno"));
  TROTH_TRY(const auto now, call.args().try_boolean("now"));
  const Overlap overlap = now.value_or(false) ? Overlap::None : Overlap::LongestTicket;
  TROTH_TRY_VOID(call.database().keys().activate(call.actor(), service.id, kvno, overlap));
  if (is_own_service(service.name))
    TROTH_TRY_VOID(call.tools().own.refresh());
  return answer_keytab(call, service, kvno);
}

Result<Reply> service_delete(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const std::string name, call.name());
  if (name.find('/') == std::string::npos)
    return fail(ErrorCode::InvalidArgument, "a service is called <service>/<instance>");
  TROTH_TRY_VOID(call.database().principals().remove(call.actor(), name));
  return nothing_to_say();
}

Result<Reply> disabled(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"since", "after"}));
  TROTH_TRY(const auto since, call.args().try_u64("since"));
  TROTH_TRY(const auto after, call.args().try_u64("after"));
  if (since && after)
    return fail(ErrorCode::InvalidArgument, "a page of everybody is since no version");
  if (after.value_or(0) > kLastId)
    return fail(ErrorCode::InvalidArgument, "an id is at most {}", kLastId);
  const Id first(static_cast<std::uint32_t>(after.value_or(0)));
  TROTH_TRY(const DisabledPage page, read_disabled(call.database().core(), since, first));
  JsonWriter writer;
  writer.field("version", page.version)
      .field("whole", page.whole)
      .field("disabled", page.disabled.size());
  if (page.next)
    writer.field("next", page.next->value);
  common::wire::BinaryWriter ids;
  for (const auto* const list : {&page.disabled, &page.enabled}) {
    for (const Id id : *list)
      ids.u32(id.value);
  }
  Reply reply = answer(writer);
  reply.bytes = ids.take();
  return reply;
}

constexpr AdminOperation kServiceOperations[] = {
    {"service-add", AdminRight::Administrator, kFresh, kChange, service_add},
    {"service-list", AdminRight::Administrator, Fresh::NotNeeded, kLook, service_list},
    {"service-keytab", AdminRight::Self, kFresh, kLook, service_keytab},
    {"service-rotate", AdminRight::Self, kFresh, kChange, service_rotate},
    {"service-activate", AdminRight::Self, kFresh, kChange, service_activate},
    {"service-delete", AdminRight::Administrator, kFresh, kChange, service_delete},
    {"disabled", AdminRight::Service, Fresh::NotNeeded, kLook, disabled},
};

}  // namespace

std::span<const AdminOperation> service_operations() {
  return kServiceOperations;
}

}  // namespace kdc
