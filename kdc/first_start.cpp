#include "kdc/first_start.hpp"

#include "common/crypto/random.hpp"
#include "kdc/audit_chain.hpp"
#include "kdc/core.hpp"
#include "kdc/groups.hpp"
#include "kdc/keys.hpp"
#include "kdc/master_rollover.hpp"
#include "kdc/policy.hpp"
#include "kdc/principals.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::db::ReadTx;
using common::db::WriteTx;

Status add_cell(WriteTx& tx, const MasterKeys& masters, Time now) {
  const Bytes no_hash(32);
  TROTH_TRY_VOID(tx.run("INSERT INTO cell VALUES (1, ?1, ?2, ?3, 1, 0, ?4, 0, ?5, 0, ?5)",
                        masters.cell(), to_number(now), kFirstGivenId, masters.newest(),
                        ByteView(no_hash)));
  TROTH_TRY_VOID(register_master(tx, masters, masters.newest()));
  for (const Kind kind : {Kind::User, Kind::Service, Kind::Host})
    TROTH_TRY_VOID(put_policy(tx, default_policy(kind)));
  return {};
}

Status add_groups(WriteTx& tx, Time now) {
  struct Named {
    Id id;
    std::string_view name;
  };
  for (const Named& group :
       {Named{kAnyUser, "system:anyuser"}, Named{kAuthUser, "system:authuser"},
        Named{kAdministrators, "system:administrators"}, Named{kAuditors, "system:auditors"}}) {
    TROTH_TRY_VOID(tx.run("INSERT INTO used_id VALUES (?1)", group.id.value));
    TROTH_TRY_VOID(insert_group(tx, group.id, group.name, kAdministrators, now));
  }
  return {};
}

Result<Secret> add_secret(WriteTx& tx, const MasterKeys& masters, Time now) {
  Secret secret(32);
  TROTH_TRY_VOID(common::crypto::random_bytes(secret.writable()));
  const StoredKey stored{.kvno = kSecretPlace.kvno,
                         .purpose = kSecretPlace.purpose,
                         .state = KeyState::Active,
                         .not_after = std::nullopt,
                         .created = now,
                         .salt = {},
                         .key = secret.clone()};
  TROTH_TRY_VOID(insert_key(tx, masters, kSecretPlace.principal, stored));
  return secret;
}

Status add_service(WriteTx& tx, const MasterKeys& masters, const std::string& name,
                   const Secret* key, Time now) {
  const Kind kind = name.starts_with("host/") ? Kind::Host : Kind::Service;
  TROTH_TRY(
      const Id id,
      insert_principal(tx, {.kind = kind, .name = name, .id = std::nullopt, .policy = {}}, now));
  TROTH_TRY(const Principal principal, need_principal(tx, id));
  if (key == nullptr)
    return add_random_key(tx, masters, principal, KeyState::Active, now).map([](Kvno) {});
  const StoredKey stored{.kvno = 1,
                         .purpose = KeyPurpose::Service,
                         .state = KeyState::Active,
                         .not_after = std::nullopt,
                         .created = now,
                         .salt = {},
                         .key = key->clone()};
  TROTH_TRY_VOID(insert_key(tx, masters, id, stored));
  return tx.run("UPDATE principal SET kvno = 1, last_kvno = 1 WHERE id = ?1", id.value);
}

Status add_administrator(WriteTx& tx, const MasterKeys& masters,
                         const common::cell::FirstContents& contents, Time now) {
  TROTH_TRY(
      const Id id,
      insert_principal(
          tx,
          {.kind = Kind::User, .name = contents.administrator, .id = std::nullopt, .policy = {}},
          now));
  TROTH_TRY(const Principal user, need_principal(tx, id));
  const PasswordKey key{contents.salt, contents.parameters, contents.administrator_key.clone()};
  TROTH_TRY_VOID(add_password_key(tx, masters, user, key, now));
  for (const Id group : {kAdministrators, kAuditors})
    TROTH_TRY_VOID(tx.run("INSERT INTO membership VALUES (?1, ?2)", id.value, group.value));
  return {};
}

}  // namespace

Result<bool> has_contents(common::db::Database& db) {
  return db.read([](ReadTx& tx) -> Result<bool> {
    TROTH_TRY(auto row, tx.query("SELECT 1 FROM cell"));
    return row.step();
  });
}

Result<Secret> open_database_secret(ReadTx& tx, const MasterKeys& masters) {
  TROTH_TRY(auto row, tx.query("SELECT master, sealed FROM key WHERE principal = ?1 AND kvno = ?2",
                               kSecretPlace.principal.value, kSecretPlace.kvno));
  TROTH_TRY(const bool exists, row.step());
  if (!exists)
    return fail(ErrorCode::Corrupt, "the database has lost its own secret");
  return masters.open(static_cast<std::uint32_t>(row.column_uint64(0)), kSecretPlace,
                      row.column_blob(1));
}

Status import_first_contents(WriteTx& tx, const MasterKeys& masters,
                             const common::cell::FirstContents& contents, Time now) {
  TROTH_TRY_VOID(add_cell(tx, masters, now));
  TROTH_TRY_VOID(add_groups(tx, now));
  TROTH_TRY(const Secret secret, add_secret(tx, masters, now));
  TROTH_TRY_VOID(add_service(tx, masters, std::string(kTgsService), nullptr, now));
  TROTH_TRY_VOID(add_service(tx, masters, std::string(kAdminService), nullptr, now));
  TROTH_TRY_VOID(add_administrator(tx, masters, contents, now));
  for (const common::cell::FirstService& service : contents.services) {
    if (service.name.starts_with("kdc/"))
      return fail(ErrorCode::InvalidArgument, "kdc/ is for the KDC's own services");
    TROTH_TRY_VOID(add_service(tx, masters, service.name, &service.key, now));
  }
  TROTH_TRY(const DatabaseSecrets secrets, derive_secrets(secret, masters.cell()));
  return append_audit(tx, secrets.audit,
                      {.at = now,
                       .event = "cell.begin",
                       .actor = kNobody,
                       .actor_name = "kdc",
                       .subject = masters.cell(),
                       .source = "local",
                       .outcome = std::string(kAuditOk),
                       .details = "administrator=" + contents.administrator});
}

}  // namespace kdc
