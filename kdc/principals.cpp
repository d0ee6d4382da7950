#include "kdc/principals.hpp"

#include "kdc/groups.hpp"
#include "kdc/keys.hpp"
#include "kdc/names.hpp"
#include "kdc/policy.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

Principal principal_from_row(const Statement& row) {
  Principal principal{.id = Id(static_cast<std::uint32_t>(row.column_uint64(0))),
                      .kind = static_cast<Kind>(row.column_uint64(2)),
                      .name = std::string(row.column_text(1)),
                      .disabled = row.column_uint64(3) != 0,
                      .kvno = static_cast<Kvno>(row.column_uint64(4)),
                      .last_kvno = static_cast<Kvno>(row.column_uint64(5)),
                      .password_end = std::nullopt,
                      .policy = std::string(row.column_text(7)),
                      .created = time_from(row.column_int64(8)),
                      .changed = time_from(row.column_int64(9))};
  if (row.column_int64(6) != 0)
    principal.password_end = time_from(row.column_int64(6));
  return principal;
}

Result<std::optional<Principal>> one_principal(Result<Statement> found) {
  TROTH_TRY(Statement row, std::move(found));
  std::optional<Principal> principal;
  TROTH_TRY(const bool exists, row.step());
  if (exists)
    principal = principal_from_row(row);
  return principal;
}

Result<std::optional<Id>> try_id_of(ReadTx& tx, std::string_view name) {
  std::optional<Id> id;
  TROTH_TRY(auto row, tx.query("SELECT id FROM principal WHERE name = ?1 UNION ALL "
                               "SELECT id FROM user_group WHERE name = ?1",
                               name));
  TROTH_TRY(const bool exists, row.step());
  if (exists)
    id = Id(static_cast<std::uint32_t>(row.column_uint64(0)));
  return id;
}

// The KDC's own services are what every ticket rests on.
Status refuse_own_service(const Principal& principal) {
  if (is_own_service(principal.name))
    return fail(ErrorCode::Conflict, "{} belongs to the cell itself", principal.name);
  return {};
}

Status need_no_groups(ReadTx& tx, const Principal& principal) {
  const std::string first = principal.name + ':';
  const std::string end = principal.name + ';';  // follows ':'
  TROTH_TRY(auto row, tx.query("SELECT name FROM user_group WHERE owner = ?1 OR "
                               "(name >= ?2 AND name < ?3) LIMIT 1",
                               principal.id.value, first, end));
  TROTH_TRY(const bool exists, row.step());
  if (!exists)
    return {};
  return fail(ErrorCode::Conflict, "{} still has groups, such as {}; remove them or disable {}",
              principal.name, row.column_text(0), principal.name);
}

constexpr std::string_view kPrincipalColumns =
    "SELECT id, name, kind, disabled, kvno, last_kvno, password_end, policy, created, changed ";

}  // namespace

Result<std::optional<Principal>> find_principal(ReadTx& tx, std::string_view name) {
  static const std::string sql = std::string(kPrincipalColumns) + "FROM principal WHERE name = ?1";
  return one_principal(tx.query(sql, name));
}

Result<std::optional<Principal>> find_principal(ReadTx& tx, Id id) {
  static const std::string sql = std::string(kPrincipalColumns) + "FROM principal WHERE id = ?1";
  return one_principal(tx.query(sql, id.value));
}

Result<Principal> need_principal(ReadTx& tx, std::string_view name) {
  TROTH_TRY(auto found, find_principal(tx, name));
  if (!found)
    return fail(ErrorCode::NotFound, "there is no principal {}", name);
  return *std::move(found);
}

Result<Principal> need_principal(ReadTx& tx, Id id) {
  TROTH_TRY(auto found, find_principal(tx, id));
  if (!found)
    return fail(ErrorCode::NotFound, "there is no principal {}", id.value);
  return *std::move(found);
}

Result<Id> insert_principal(WriteTx& tx, const NewPrincipal& principal, Time now) {
  TROTH_TRY_VOID(common::ticket::check_name(principal.kind, principal.name));
  if (!principal.policy.empty())
    TROTH_TRY_VOID(policy_of(tx, principal.kind, principal.policy));
  TROTH_TRY(const auto same, find_principal(tx, principal.name));
  if (same)
    return fail(ErrorCode::AlreadyExists, "there is a principal {} already", principal.name);
  TROTH_TRY(const Id id, take_id(tx, principal.id));
  TROTH_TRY_VOID(tx.run("INSERT INTO principal VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4, ?5, ?5)",
                        id.value, principal.name, static_cast<std::uint8_t>(principal.kind),
                        principal.policy, to_number(now)));
  return id;
}

Result<std::optional<Principal>> Principals::find(const std::string& name) {
  return core_.read([&](ReadTx& tx) { return find_principal(tx, name); });
}

Result<std::optional<Principal>> Principals::find(Id id) {
  return core_.read([&](ReadTx& tx) { return find_principal(tx, id); });
}

Result<std::vector<Principal>> Principals::list(std::optional<Kind> kind, const std::string& after,
                                                std::size_t limit) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<Principal>> {
    static const std::string sql =
        std::string(kPrincipalColumns) +
        "FROM principal WHERE name > ?1 AND (?2 = 0 OR kind = ?2) ORDER BY name LIMIT ?3";
    TROTH_TRY(auto rows, tx.query(sql, after, kind ? static_cast<int>(*kind) : 0,
                                  std::min(limit, kMostListed)));
    std::vector<Principal> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back(principal_from_row(rows));
    }
  });
}

Result<std::string> Principals::name_of(Id id) {
  return core_.read([&](ReadTx& tx) -> Result<std::string> {
    TROTH_TRY(auto row, tx.query("SELECT name FROM principal WHERE id = ?1 UNION ALL "
                                 "SELECT name FROM user_group WHERE id = ?1",
                                 id.value));
    TROTH_TRY(const bool exists, row.step());
    return exists ? std::string(row.column_text(0)) : std::string();
  });
}

Result<Id> Principals::id_of(const std::string& name) {
  return core_.read([&](ReadTx& tx) -> Result<Id> {
    TROTH_TRY(const auto id, try_id_of(tx, name));
    if (!id)
      return fail(ErrorCode::NotFound, "there is no principal or group {}", name);
    return *id;
  });
}

Result<Id> Principals::add_user(const Actor& actor, const NewPrincipal& user,
                                const PasswordKey& key) {
  if (user.kind != Kind::User)
    return fail(ErrorCode::InvalidArgument, "only users have passwords");
  TROTH_TRY_VOID(common::ticket::check_name(user.kind, user.name));
  const Change change{.event = "user.add",
                      .subject = user.name,
                      .details = fmt::format("id={} policy={}", user.id ? user.id->value : 0,
                                             user.policy.empty() ? "default" : user.policy),
                      .secret = key.key.bytes()};
  TROTH_TRY(const std::uint64_t id,
            core_.change(actor, change, [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
              TROTH_TRY(const Id made, insert_principal(tx, user, now));
              TROTH_TRY(const Principal principal, need_principal(tx, made));
              TROTH_TRY_VOID(add_password_key(tx, *core_.master_keys(), principal, key, now));
              TROTH_TRY(const Policy policy, policy_of(tx, user.kind, user.policy));
              if (policy.max_age != Millis(0)) {
                TROTH_TRY_VOID(tx.run("UPDATE principal SET password_end = ?2 WHERE id = ?1",
                                      made.value, to_number(now + policy.max_age)));
              }
              return made.value;
            }));
  return Id(static_cast<std::uint32_t>(id));
}

Result<Id> Principals::add_service(const Actor& actor, const NewPrincipal& service) {
  if (service.kind == Kind::User)
    return fail(ErrorCode::InvalidArgument, "a user needs a password");
  TROTH_TRY_VOID(common::ticket::check_name(service.kind, service.name));
  if (is_own_service(service.name))
    return fail(ErrorCode::InvalidArgument, "kdc/ is for the KDC's own services");
  const Change change{.event = "service.add",
                      .subject = service.name,
                      .details = fmt::format("id={} policy={}", service.id ? service.id->value : 0,
                                             service.policy.empty() ? "default" : service.policy)};
  TROTH_TRY(
      const std::uint64_t id,
      core_.change(actor, change, [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
        TROTH_TRY(const Id made, insert_principal(tx, service, now));
        TROTH_TRY(const Principal principal, need_principal(tx, made));
        TROTH_TRY_VOID(add_random_key(tx, *core_.master_keys(), principal, KeyState::Active, now));
        return made.value;
      }));
  return Id(static_cast<std::uint32_t>(id));
}

Status Principals::set_disabled(const Actor& actor, const std::string& name, bool disabled) {
  const Change change{.event = disabled ? "principal.disable" : "principal.enable",
                      .subject = name};
  return core_
      .change(
          actor, change,
          [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
            TROTH_TRY(const Principal principal, need_principal(tx, name));
            TROTH_TRY_VOID(refuse_own_service(principal));
            if (principal.disabled == disabled)
              return principal.id.value;
            TROTH_TRY_VOID(tx.run("UPDATE principal SET disabled = ?2, changed = ?3 WHERE id = ?1",
                                  principal.id.value, disabled, to_number(now)));
            TROTH_TRY_VOID(need_administrators(tx));
            TROTH_TRY_VOID(note_directory_change(tx, principal.id));
            return principal.id.value;
          })
      .map([](std::uint64_t) {});
}

Status Principals::set_policy(const Actor& actor, const std::string& name,
                              const std::string& policy) {
  const Change change{.event = "principal.policy",
                      .subject = name,
                      .details = policy.empty() ? "policy=default" : "policy=" + policy};
  return core_
      .change(
          actor, change,
          [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
            TROTH_TRY(const Principal principal, need_principal(tx, name));
            TROTH_TRY_VOID(policy_of(tx, principal.kind, policy));
            TROTH_TRY_VOID(tx.run("UPDATE principal SET policy = ?2, changed = ?3 WHERE id = ?1",
                                  principal.id.value, policy, to_number(now)));
            return principal.id.value;
          })
      .map([](std::uint64_t) {});
}

Status Principals::set_password_end(const Actor& actor, const std::string& name,
                                    std::optional<Time> end) {
  const Change change{.event = "user.password_end",
                      .subject = name,
                      .details = fmt::format("end={}", end ? to_number(*end) : 0)};
  return core_
      .change(actor, change,
              [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
                TROTH_TRY(const Principal principal, need_principal(tx, name));
                if (principal.kind != Kind::User)
                  return fail(ErrorCode::InvalidArgument, "{} has no password", name);
                TROTH_TRY_VOID(
                    tx.run("UPDATE principal SET password_end = ?2, changed = ?3 WHERE id = ?1",
                           principal.id.value, end ? to_number(*end) : 0, to_number(now)));
                return principal.id.value;
              })
      .map([](std::uint64_t) {});
}

Status Principals::remove(const Actor& actor, const std::string& name) {
  const Change change{.event = "principal.remove", .subject = name};
  return core_
      .change(
          actor, change,
          [&](WriteTx& tx, Time) -> Result<std::uint64_t> {
            TROTH_TRY(const Principal principal, need_principal(tx, name));
            TROTH_TRY_VOID(refuse_own_service(principal));
            TROTH_TRY_VOID(need_no_groups(tx, principal));
            TROTH_TRY_VOID(note_directory_change(tx, principal.id));
            TROTH_TRY_VOID(tx.run("DELETE FROM membership WHERE member = ?1", principal.id.value));
            TROTH_TRY_VOID(
                tx.run("UPDATE key SET sealed = zeroblob(length(sealed)) WHERE principal = ?1",
                       principal.id.value));
            TROTH_TRY_VOID(tx.run("DELETE FROM key WHERE principal = ?1", principal.id.value));
            TROTH_TRY_VOID(tx.run("DELETE FROM principal WHERE id = ?1", principal.id.value));
            TROTH_TRY_VOID(need_administrators(tx));
            return principal.id.value;
          })
      .map([](std::uint64_t) {});
}

}  // namespace kdc
