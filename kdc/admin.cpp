#include "kdc/admin.hpp"

#include "common/auth/session.hpp"
#include "kdc/ticket_maker.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::rpc::Call;
using common::rpc::Operation;
using common::rpc::Reply;

// A head with arguments, and a password.
constexpr std::uint64_t kMostBody = 16 * 1024;

// Whoever the ticket names, as the database knows him now.
Result<Principal> find_caller(Database& database, const common::ticket::Identity& identity) {
  TROTH_TRY(auto caller, database.principals().find(identity.client.id));
  if (!caller || caller->disabled) {
    return fail(ErrorCode::PermissionDenied, "{} is disabled; ask an administrator",
                identity.client.name);
  }
  return *std::move(caller);
}

Status check_right(const AdminOperation& operation, AdminCall& call) {
  bool allowed = operation.right == AdminRight::Anybody;
  std::string_view who = "administrators";
  if (operation.right == AdminRight::Administrator) {
    TROTH_TRY(allowed, call.is_administrator());
  } else if (operation.right == AdminRight::Auditor) {
    TROTH_TRY(allowed, call.is_auditor());
    who = "auditors and administrators";
  } else if (operation.right == AdminRight::Service) {
    TROTH_TRY(const bool auditor, call.is_auditor());
    allowed = auditor || call.caller().kind == Kind::Service;
    who = "services, auditors and administrators";
  } else if (operation.right == AdminRight::Self) {
    // Whether the name exists is for those to know who may see it.
    TROTH_TRY(const std::string name, call.name());
    TROTH_TRY(const bool administrator, call.is_administrator());
    allowed = administrator || name == call.caller().name;
    who = "administrators, about others";
  }
  if (allowed)
    return {};
  return fail(ErrorCode::PermissionDenied, "{} may not do that: {} is for {}", call.caller().name,
              operation.name, who);
}

// With a password that has ended, a new one is all that can be asked for.
Status check_password_end(const AdminOperation& operation, AdminCall& call) {
  const auto& end = call.caller().password_end;
  if (!end || *end > time_now(call.tools().clock) || operation.name == "passwd" ||
      operation.name == "whoami")
    return {};
  return fail(ErrorCode::Expired, "the password of {} has ended; set a new one: troth passwd {}",
              call.caller().name, call.caller().name);
}

}  // namespace

// Each change leaves a record, a keytab that is fetched, too.
Status Administration::check_rate(const AdminOperation& operation, AdminCall& call) {
  if (operation.changes == Changes::Nothing && operation.fresh == Fresh::NotNeeded)
    return {};
  TROTH_TRY(const bool administrator, call.is_administrator());
  if (administrator)
    return {};
  const GuessVerdict verdict = changes_.take(call.caller().id, time_now(tools_.clock));
  if (verdict.allowed)
    return {};
  return too_many(fmt::format("too many changes by {}", call.caller().name), verdict.wait);
}

Result<Reply> Administration::run_checked(const AdminOperation& operation, AdminCall& call) {
  const auto check = [&]() -> Status {
    TROTH_TRY_VOID(check_password_end(operation, call));
    TROTH_TRY_VOID(check_right(operation, call));
    if (operation.fresh == Fresh::Needed)
      TROTH_TRY_VOID(call.need_fresh());
    return check_rate(operation, call);
  };
  const Status checked = check();
  if (checked)
    return operation.run(call);
  const ErrorCode code = checked.error().code;
  if (code == ErrorCode::PermissionDenied || code == ErrorCode::Expired ||
      code == ErrorCode::Overloaded) {
    const Actor actor = call.actor();
    TROTH_TRY_VOID(tools_.database.audit().refused({.event = "admin." + std::string(operation.name),
                                                    .actor = actor.id,
                                                    .actor_name = actor.name,
                                                    .source = actor.source,
                                                    .outcome = std::string(to_string(code))}));
  }
  return tl::unexpected(checked.error());
}

Result<Reply> Administration::run(const AdminOperation& operation, Call& call) {
  const common::ticket::Identity* identity = common::auth::identity_of(call);
  if (identity == nullptr)
    return fail(ErrorCode::Unauthenticated, "this call needs a session; log in for kdc/admin");
  TROTH_TRY(auto args, common::wire::JsonObject::of(call.args(), "args"));
  TROTH_TRY(Principal caller, find_caller(tools_.database, *identity));
  AdminCall admin(tools_, call, std::move(args), *identity, std::move(caller));
  return run_checked(operation, admin);
}

Status Administration::add_operations(common::rpc::OperationTable& table) {
  for (const auto family :
       {user_operations(), group_operations(), service_operations(), cell_operations()}) {
    for (const AdminOperation& operation : family) {
      const auto handler = [this, &operation](Call& call) -> Result<Reply> {
        auto reply = run(operation, call);
        count_(operation.name, reply ? kAuditOk : to_string(reply.error().code));
        return reply;
      };
      TROTH_TRY_VOID(table.add({.service = "kdc",
                                .name = std::string(operation.name),
                                .handler = handler,
                                .body_cap = kMostBody,
                                .needs_session = true,
                                .needs_operation_id = operation.changes == Changes::Something}));
    }
  }
  return {};
}

}  // namespace kdc
