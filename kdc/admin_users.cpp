// Calls about users, and about who is calling.

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "kdc/admin_call.hpp"
#include "kdc/decoy.hpp"
#include "kdc/names.hpp"
#include "kdc/password_rules.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::rpc::Reply;
using common::wire::JsonWriter;

// ---- passwords

Result<PasswordKey> key_of_password(AdminCall& call, const std::string& user,
                                    const Secret& password) {
  TROTH_TRY(const Secret random, call.database().core().salt_for(call.actor()));
  PasswordKey key{
      .salt = password_salt(call.database().core().cell(), user, random.bytes().first<16>()),
      .parameters = call.tools().scrypt,
      .key = {}};
  TROTH_TRY(key.key, common::crypto::scrypt(password, key.salt, key.parameters));
  return key;
}

Result<bool> is_password_of(const Secret& password, const StoredKey& key) {
  TROTH_TRY(const Secret made, common::crypto::scrypt(password, key.salt, key.parameters));
  return common::crypto::constant_time_equal(made.bytes(), key.key.bytes());
}

// Whether a password is or was somebody's is what a login tells, too: asking takes one of the
// caller's attempts, and an answer that told him something keeps it.
enum class Told : std::uint8_t { Nothing, Something };

class Guess {
 public:
  [[nodiscard]] static Result<Guess> begin(AdminCall& call) {
    Guess guess(call);
    const GuessVerdict verdict = guess.attempts_.begin(guess.name_, guess.source_);
    if (!verdict.allowed)
      return too_many("too many attempts for this name or from this address", verdict.wait);
    return guess;
  }
  [[nodiscard]] Status end(Told told) {
    if (told == Told::Something)
      return attempts_.failed(name_, source_);
    attempts_.withdrawn(name_, source_);
    return {};
  }

 private:
  explicit Guess(AdminCall& call)
      : attempts_(call.database().attempts()),
        name_(call.caller().name),
        source_(source_of_address(call.actor().source)) {}

  Attempts& attempts_;
  std::string name_;
  std::string source_;
};

// What the policy says, and that it was not used lately. Runs scrypt as often as the history is
// long: the caller has a place for it.
Status check_new_password(AdminCall& call, const Principal& user, const Secret& password,
                          Told& told) {
  TROTH_TRY(const Policy policy, call.database().policies().of(user.kind, user.policy));
  TROTH_TRY_VOID(check_password(policy, user.name, password));
  TROTH_TRY(const auto history, call.database().keys().password_history(user.id));
  for (const StoredKey& key : history) {
    TROTH_TRY(const bool same, is_password_of(password, key));
    if (same) {
      told = Told::Something;
      return fail(ErrorCode::InvalidArgument,
                  "this password is or was in use here; choose another one");
    }
  }
  return {};
}

// Sets it, or finds that this call has set it before. Told otherwise, the caller knows that it is
// another one that he set.
Result<Kvno> set_password(AdminCall& call, const Principal& user, Kvno expected,
                          const Secret& password, PasswordReason reason) {
  TROTH_TRY(Guess guess, Guess::begin(call));
  const auto set = [&]() -> Result<Kvno> {
    TROTH_TRY(const PasswordKey key, key_of_password(call, user.name, password));
    return call.database().keys().set_password(call.actor(), user.id, expected, key, reason);
  }();
  const bool told = !set && set.error().code == ErrorCode::Conflict;
  TROTH_TRY_VOID(guess.end(told ? Told::Something : Told::Nothing));
  return set;
}

Result<Kvno> set_new_password(AdminCall& call, const Principal& user, Kvno expected) {
  TROTH_TRY(const Secret password, call.take_password());
  TROTH_TRY(const auto place, call.scrypt_place());
  // If the key has moved on, this is a repetition of a call whose answer was lost, or it comes too
  // late: the database tells which, and what was set meanwhile is none of the history's business.
  if (user.kvno == expected) {
    TROTH_TRY(Guess guess, Guess::begin(call));
    Told told = Told::Nothing;
    const Status checked = check_new_password(call, user, password, told);
    TROTH_TRY_VOID(guess.end(told));
    TROTH_TRY_VOID(checked);
  }
  return set_password(call, user, expected, password, PasswordReason::NewPassword);
}

// The same password, run through scrypt anew.
Result<Kvno> raise_parameters(AdminCall& call, const Principal& user, Kvno expected) {
  TROTH_TRY(const Secret password, call.take_password());
  TROTH_TRY(const auto place, call.scrypt_place());
  if (user.kvno == expected) {
    TROTH_TRY(const StoredKey present, call.database().keys().key(user.id));
    TROTH_TRY(Guess guess, Guess::begin(call));
    const auto same = is_password_of(password, present);
    TROTH_TRY_VOID(guess.end(same && !*same ? Told::Something : Told::Nothing));
    TROTH_TRY_VOID(same.map([](bool) {}));
    if (!*same)
      return fail(ErrorCode::InvalidArgument, "that is not the present password of {}", user.name);
  }
  return set_password(call, user, expected, password, PasswordReason::StrongerParameters);
}

Status need_user(const Principal& principal) {
  if (principal.kind == Kind::User)
    return {};
  return fail(ErrorCode::InvalidArgument, "{} has a keytab and no password", principal.name);
}

Result<Reply> passwd(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"rekey"}));
  TROTH_TRY(const auto rekey, call.args().try_boolean("rekey"));
  const Principal& user = call.caller();
  TROTH_TRY_VOID(need_user(user));
  // The ticket proved this key, so it is the one that goes.
  const Kvno expected = call.identity().client_kvno;
  TROTH_TRY(const Kvno kvno, rekey.value_or(false) ? raise_parameters(call, user, expected)
                                                   : set_new_password(call, user, expected));
  TROTH_TRY(const auto now, call.database().principals().find(user.id));
  std::optional<std::int64_t> end;
  if (now && now->password_end)
    end = to_number(*now->password_end);
  JsonWriter writer;
  writer.field("kvno", kvno).field("password_end_ms", end);
  return answer(writer);
}

Result<Reply> user_passwd(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "kvno"}));
  TROTH_TRY(const Principal user, call.principal());
  TROTH_TRY(const std::uint32_t expected, call.args().u32("kvno"));
  TROTH_TRY_VOID(need_user(user));
  TROTH_TRY(const Kvno kvno, set_new_password(call, user, expected));
  JsonWriter writer;
  writer.field("kvno", kvno);
  return answer(writer);
}

// ---- whoami, show, list

Status write_groups(AdminCall& call, JsonWriter& writer, Id principal) {
  TROTH_TRY(const Membership membership, call.database().groups().closure(principal));
  writer.begin_list("groups");
  for (const Id group : membership.groups) {
    TROTH_TRY(const std::string name, call.database().principals().name_of(group));
    writer.begin_object().field("id", group.value).field("name", name).end();
  }
  writer.end();
  return {};
}

Result<Reply> whoami(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({}));
  TROTH_TRY(const bool administrator, call.is_administrator());
  TROTH_TRY(const bool auditor, call.is_auditor());
  const Principal& caller = call.caller();
  const auto& validity = call.identity().validity;
  std::optional<std::int64_t> fresh;
  if (const auto until = call.fresh_until())
    fresh = to_number(*until);
  JsonWriter writer;
  writer.field("name", caller.name)
      .field("kind", common::ticket::to_string(call.identity().client.kind))
      .field("id", caller.id.value)
      .field("initial", validity.initial)
      .field("authenticated_ms", to_number(validity.authenticated))
      .field("end_ms", to_number(validity.end))
      .field("fresh_until_ms", fresh)
      .field("administrator", administrator)
      .field("auditor", auditor);
  TROTH_TRY_VOID(write_groups(call, writer, caller.id));
  return answer(writer);
}

Result<Reply> user_show(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const Principal user, call.principal());
  JsonWriter writer;
  write_principal(writer, user);
  TROTH_TRY_VOID(write_groups(call, writer, user.id));
  return answer(writer);
}

Result<Reply> user_list(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"after", "limit"}));
  TROTH_TRY(const std::string after, call.optional_name("after"));
  TROTH_TRY(const std::size_t limit, call.limit());
  TROTH_TRY(const auto users, call.database().principals().list(Kind::User, after, limit));
  JsonWriter writer;
  writer.begin_list("users");
  for (const Principal& user : users) {
    writer.begin_object();
    write_principal(writer, user);
    writer.end();
  }
  writer.end().field("more", users.size() == limit);
  return answer(writer);
}

// ---- changes

Result<Reply> user_add(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "id", "policy"}));
  NewPrincipal user;
  TROTH_TRY(user.name, call.name());
  TROTH_TRY(user.id, call.optional_id());
  TROTH_TRY(user.policy, call.optional_name("policy"));
  TROTH_TRY_VOID(common::ticket::check_name(common::ticket::Kind::User, user.name));
  TROTH_TRY(const Secret password, call.take_password());
  TROTH_TRY(const Policy policy, call.database().policies().of(Kind::User, user.policy));
  TROTH_TRY_VOID(check_password(policy, user.name, password));
  TROTH_TRY(const auto place, call.scrypt_place());
  TROTH_TRY(const PasswordKey key, key_of_password(call, user.name, password));
  TROTH_TRY(const Id id, call.database().principals().add_user(call.actor(), user, key));
  JsonWriter writer;
  writer.field("id", id.value);
  return answer(writer);
}

Result<Reply> set_disabled(AdminCall& call, bool disabled) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const std::string name, call.name());
  TROTH_TRY_VOID(call.database().principals().set_disabled(call.actor(), name, disabled));
  return nothing_to_say();
}

Result<Reply> user_disable(AdminCall& call) {
  return set_disabled(call, true);
}

Result<Reply> user_enable(AdminCall& call) {
  return set_disabled(call, false);
}

Result<Reply> user_delete(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name"}));
  TROTH_TRY(const std::string name, call.name());
  TROTH_TRY_VOID(common::ticket::check_name(common::ticket::Kind::User, name));
  TROTH_TRY_VOID(call.database().principals().remove(call.actor(), name));
  return nothing_to_say();
}

Result<Reply> user_policy(AdminCall& call) {
  TROTH_TRY_VOID(call.args().refuse_others({"name", "policy"}));
  TROTH_TRY(const std::string name, call.name());
  TROTH_TRY(const std::string policy, call.name("policy"));
  TROTH_TRY_VOID(call.database().principals().set_policy(call.actor(), name, policy));
  return nothing_to_say();
}

constexpr AdminOperation kUserOperations[] = {
    {"whoami", AdminRight::Anybody, Fresh::NotNeeded, kLook, whoami},
    {"passwd", AdminRight::Anybody, kFresh, kChange, passwd},
    {"user-add", AdminRight::Administrator, kFresh, kChange, user_add},
    {"user-list", AdminRight::Administrator, Fresh::NotNeeded, kLook, user_list},
    {"user-show", AdminRight::Self, Fresh::NotNeeded, kLook, user_show},
    {"user-disable", AdminRight::Administrator, kFresh, kChange, user_disable},
    {"user-enable", AdminRight::Administrator, kFresh, kChange, user_enable},
    {"user-delete", AdminRight::Administrator, kFresh, kChange, user_delete},
    {"user-passwd", AdminRight::Administrator, kFresh, kChange, user_passwd},
    {"user-policy", AdminRight::Administrator, kFresh, kChange, user_policy},
};

}  // namespace

std::span<const AdminOperation> user_operations() {
  return kUserOperations;
}

}  // namespace kdc
