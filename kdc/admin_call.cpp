#include "kdc/admin_call.hpp"

#include <algorithm>

#include "common/utf8.hpp"
#include "kdc/group_graph.hpp"
#include "kdc/password_rules.hpp"
#include "kdc/ticket_maker.hpp"
#include "kdc/ticket_policy.hpp"

namespace kdc {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::rpc::Reply;
using common::wire::JsonWriter;

namespace {

// The longest name there is, of a group.
constexpr std::size_t kMostNameBytes = common::ticket::kMaxGroupName;

}  // namespace

Actor AdminCall::actor() const {
  const common::OperationId id = call_.head().id;
  Actor actor{.id = caller_.id, .name = caller_.name, .source = call_.peer().address()};
  if (id != common::OperationId{})
    actor.operation = id;
  return actor;
}

std::optional<Time> AdminCall::fresh_until() const {
  const auto& validity = identity_.validity;
  if (!validity.initial)
    return std::nullopt;
  const Time until = std::min(validity.authenticated + kFreshFor, validity.end);
  return time_now(tools_.clock) < until ? std::optional(until) : std::nullopt;
}

Status AdminCall::need_fresh() const {
  if (fresh_until())
    return {};
  return fail(ErrorCode::Expired,
              "this needs a password typed within the last 5 minutes: log in for kdc/admin and try "
              "again");
}

Result<bool> AdminCall::is_administrator() const {
  return tools_.database.groups().administers(caller_.id);
}

Result<bool> AdminCall::is_auditor() const {
  TROTH_TRY(const bool administrator, is_administrator());
  if (administrator)
    return true;
  return tools_.database.core().read(
      [&](common::db::ReadTx& tx) { return is_within(tx, caller_.id, kAuditors); });
}

Result<Secret> AdminCall::take_password() {
  const common::ByteView bytes = call_.body();
  Secret password = Secret::copy_of(bytes);
  // The bytes lie in the connection's own buffer, where nobody reads them again.
  common::crypto::wipe({const_cast<std::byte*>(bytes.data()), bytes.size()});
  if (password.empty() || password.size() > kMostPasswordBytes) {
    return fail(ErrorCode::InvalidArgument, "a password is 1 to {} bytes long", kMostPasswordBytes);
  }
  const std::string_view text = common::as_text(password.bytes());
  const bool controls = std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (controls || !common::is_valid_utf8(text))
    return fail(ErrorCode::InvalidArgument, "a password is UTF-8 text without control characters");
  return password;
}

Result<ScryptGate::Place> AdminCall::scrypt_place() {
  return tools_.gate.enter(call_.deadline(), [this] { return call_.cancelled(); });
}

Result<std::string> AdminCall::name(std::string_view field) const {
  return args_.text(field, kMostNameBytes);
}

Result<std::string> AdminCall::optional_name(std::string_view field) const {
  TROTH_TRY(auto text, args_.try_text(field, kMostNameBytes));
  return std::move(text).value_or(std::string());
}

Result<std::optional<Id>> AdminCall::optional_id() const {
  TROTH_TRY(const auto number, args_.try_u64("id"));
  std::optional<Id> id;
  if (number && *number > kLastId)
    return fail(ErrorCode::InvalidArgument, "an id is at most {}", kLastId);
  if (number)
    id = Id(static_cast<std::uint32_t>(*number));
  return id;
}

Result<std::size_t> AdminCall::limit() const {
  TROTH_TRY(const auto asked, args_.try_u64("limit"));
  return static_cast<std::size_t>(
      std::clamp<std::uint64_t>(asked.value_or(kMostListed), 1, kMostListed));
}

Result<Principal> AdminCall::principal(std::string_view field) {
  TROTH_TRY(const std::string wanted, name(field));
  TROTH_TRY(auto found, database().principals().find(wanted));
  if (!found)
    return fail(ErrorCode::NotFound, "there is nobody called {}", wanted);
  return *std::move(found);
}

Reply answer(JsonWriter& writer) {
  return Reply::text(writer.take());
}

Reply nothing_to_say() {
  return Reply::text("{}");
}

Reply answer_secret(JsonWriter& writer, Secret secret) {
  Reply reply = answer(writer);
  reply.source_size = secret.size();
  // Handed out whole, from where it lies; std::function wants what can be copied.
  reply.source = [held = std::make_shared<Secret>(std::move(secret))](
                     std::span<std::byte>) -> Result<std::span<const std::byte>> {
    return held->bytes();
  };
  return reply;
}

void write_principal(JsonWriter& writer, const Principal& principal) {
  std::optional<Kvno> pending;
  if (principal.last_kvno > principal.kvno)
    pending = principal.last_kvno;
  std::optional<std::int64_t> end;
  if (principal.password_end)
    end = to_number(*principal.password_end);
  writer.field("name", principal.name)
      .field("kind", to_string(principal.kind))
      .field("id", principal.id.value)
      .field("disabled", principal.disabled)
      .field("kvno", principal.kvno)
      .field("pending_kvno", pending)
      .field("password_end_ms", end)
      .field("policy", principal.policy)
      .field("created_ms", to_number(principal.created))
      .field("changed_ms", to_number(principal.changed));
}

}  // namespace kdc
