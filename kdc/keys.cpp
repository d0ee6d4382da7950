#include "kdc/keys.hpp"

#include "common/crypto/hash.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "kdc/decoy.hpp"
#include "kdc/key_rows.hpp"
#include "kdc/names.hpp"
#include "kdc/policy.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::ScryptParameters;
using common::crypto::Secret;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

constexpr std::size_t kMostSalt = 256;  // cell, name and 16 random bytes

constexpr std::string_view kKeyColumns =
    "SELECT kvno, purpose, state, not_after, created, salt, log2_n, r, p, master, sealed FROM key ";

Result<StoredKey> key_from_row(const Statement& row, Core& core, Id principal) {
  StoredKey key{.kvno = static_cast<Kvno>(row.column_uint64(0)),
                .purpose = static_cast<KeyPurpose>(row.column_uint64(1)),
                .state = static_cast<KeyState>(row.column_uint64(2)),
                .not_after = std::nullopt,
                .created = time_from(row.column_int64(4)),
                .salt = {},
                .key = {}};
  if (row.column_int64(3) != 0)
    key.not_after = time_from(row.column_int64(3));
  const ByteView salt = row.column_blob(5);
  key.salt.assign(salt.begin(), salt.end());
  if (key.purpose == KeyPurpose::User) {
    TROTH_TRY(key.parameters, ScryptParameters::make(static_cast<unsigned>(row.column_uint64(6)),
                                                     static_cast<unsigned>(row.column_uint64(7)),
                                                     static_cast<unsigned>(row.column_uint64(8))));
  }
  TROTH_TRY(key.key, core.open_key(static_cast<std::uint32_t>(row.column_uint64(9)),
                                   {principal, key.kvno, key.purpose}, row.column_blob(10)));
  return key;
}

Result<std::optional<StoredKey>> find_key(ReadTx& tx, Core& core, Id principal, Kvno kvno) {
  static const std::string sql = std::string(kKeyColumns) + "WHERE principal = ?1 AND kvno = ?2";
  std::optional<StoredKey> key;
  TROTH_TRY(auto row, tx.query(sql, principal.value, kvno));
  TROTH_TRY(const bool exists, row.step());
  if (exists) {
    TROTH_TRY(key, key_from_row(row, core, principal));
  }
  return key;
}

Result<std::vector<StoredKey>> all_keys(ReadTx& tx, Core& core, Id principal) {
  static const std::string sql =
      std::string(kKeyColumns) + "WHERE principal = ?1 ORDER BY kvno DESC";
  std::vector<StoredKey> keys;
  TROTH_TRY(auto rows, tx.query(sql, principal.value));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return keys;
    TROTH_TRY(StoredKey key, key_from_row(rows, core, principal));
    keys.push_back(std::move(key));
  }
}

// Whether a request or ticket may name it.
bool is_usable(KeyState state, KeyPurpose purpose, std::optional<Time> not_after, Time now) {
  if (state == KeyState::Active)
    return true;
  return state == KeyState::Retired && purpose == KeyPurpose::Service && not_after &&
         now < *not_after;
}

// The same of one that stays sealed.
Result<bool> has_usable_key(ReadTx& tx, Id principal, Kvno kvno, Time now) {
  TROTH_TRY(auto row, tx.query("SELECT state, purpose, not_after FROM key WHERE principal = ?1 AND "
                               "kvno = ?2",
                               principal.value, kvno));
  TROTH_TRY(const bool exists, row.step());
  if (!exists)
    return false;
  std::optional<Time> not_after;
  if (row.column_int64(2) != 0)
    not_after = time_from(row.column_int64(2));
  return is_usable(static_cast<KeyState>(row.column_uint64(0)),
                   static_cast<KeyPurpose>(row.column_uint64(1)), not_after, now);
}

Result<Kvno> next_kvno(WriteTx& tx, const Principal& principal) {
  if (principal.last_kvno == std::numeric_limits<Kvno>::max())
    return fail(ErrorCode::ResourceExhausted, "{} has had all the keys there are", principal.name);
  const Kvno kvno = principal.last_kvno + 1;
  TROTH_TRY_VOID(
      tx.run("UPDATE principal SET last_kvno = ?2 WHERE id = ?1", principal.id.value, kvno));
  return kvno;
}

// The principal of that name, if there is one. Either way one look finds something and another one
// finds nothing, since a row that is there takes longer to read than none.
Result<std::optional<Principal>> find_evenly(ReadTx& tx, const std::string& name, Id donor) {
  TROTH_TRY(auto principal, find_principal(tx, name));
  TROTH_TRY_VOID(find_principal(tx, principal ? kNobody : donor).map([](const auto&) {}));
  return principal;
}

}  // namespace

Status make_active(WriteTx& tx, const Principal& principal, Kvno kvno, Time now) {
  TROTH_TRY_VOID(
      tx.run("UPDATE key SET state = 1, not_after = 0 WHERE principal = ?1 AND kvno = ?2",
             principal.id.value, kvno));
  return tx.run("UPDATE principal SET kvno = ?2, changed = ?3 WHERE id = ?1", principal.id.value,
                kvno, to_number(now));
}

Result<std::vector<Kvno>> kvnos(ReadTx& tx, std::string_view sql, Id principal,
                                std::uint64_t argument) {
  TROTH_TRY(auto rows, tx.query(sql, principal.value, argument));
  std::vector<Kvno> found;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return found;
    found.push_back(static_cast<Kvno>(rows.column_uint64(0)));
  }
}

Status insert_key(WriteTx& tx, const MasterKeys& masters, Id principal, const StoredKey& key) {
  if (key.key.size() != 32)
    return fail(ErrorCode::InvalidArgument, "a key has 32 bytes");
  const bool user = key.purpose == KeyPurpose::User;
  if (user && (key.salt.size() < common::crypto::kMinSaltBytes || key.salt.size() > kMostSalt)) {
    return fail(ErrorCode::InvalidArgument, "a salt has {} to {} bytes",
                common::crypto::kMinSaltBytes, kMostSalt);
  }
  TROTH_TRY(const std::uint32_t master, current_master(tx));
  TROTH_TRY(const Bytes sealed, masters.seal(master, {principal, key.kvno, key.purpose}, key.key));
  const auto& parameters = key.parameters;
  return tx.run("INSERT INTO key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                principal.value, key.kvno, static_cast<std::uint8_t>(key.purpose),
                static_cast<std::uint8_t>(key.state), key.not_after ? to_number(*key.not_after) : 0,
                to_number(key.created), ByteView(key.salt), user ? parameters.log2_n() : 0U,
                user ? parameters.r() : 0U, user ? parameters.p() : 0U, master, ByteView(sealed));
}

Status destroy_key(WriteTx& tx, Id principal, Kvno kvno) {
  TROTH_TRY_VOID(
      tx.run("UPDATE key SET sealed = zeroblob(length(sealed)) "
             "WHERE principal = ?1 AND kvno = ?2",
             principal.value, kvno));
  return tx.run("DELETE FROM key WHERE principal = ?1 AND kvno = ?2", principal.value, kvno);
}

Status destroy_keys(WriteTx& tx, Id principal, const std::vector<Kvno>& which) {
  for (const Kvno kvno : which)
    TROTH_TRY_VOID(destroy_key(tx, principal, kvno));
  return {};
}

Result<Principal> need_service(ReadTx& tx, Id id) {
  TROTH_TRY(Principal principal, need_principal(tx, id));
  if (principal.kind == Kind::User)
    return fail(ErrorCode::InvalidArgument, "{} is a user: its key is its password",
                principal.name);
  return principal;
}

Result<Kvno> add_password_key(WriteTx& tx, const MasterKeys& masters, const Principal& user,
                              const PasswordKey& key, Time now) {
  TROTH_TRY(const Policy policy, policy_of(tx, user.kind, user.policy));
  TROTH_TRY(const Kvno kvno, next_kvno(tx, user));
  TROTH_TRY_VOID(
      tx.run("UPDATE key SET state = 3 WHERE principal = ?1 AND state = 1", user.id.value));
  StoredKey stored{.kvno = kvno,
                   .purpose = KeyPurpose::User,
                   .state = KeyState::Active,
                   .not_after = std::nullopt,
                   .created = now,
                   .salt = key.salt,
                   .parameters = key.parameters,
                   .key = key.key.clone()};
  TROTH_TRY_VOID(insert_key(tx, masters, user.id, stored));
  // The history counts the present one, too.
  const std::uint32_t kept = std::max(policy.history, 1U);
  TROTH_TRY(const auto forgotten,
            kvnos(tx,
                  "SELECT kvno FROM key WHERE principal = ?1 ORDER BY kvno DESC "
                  "LIMIT -1 OFFSET ?2",
                  user.id, kept));
  TROTH_TRY_VOID(destroy_keys(tx, user.id, forgotten));
  TROTH_TRY_VOID(make_active(tx, user, kvno, now));
  return kvno;
}

Result<Kvno> add_random_key(WriteTx& tx, const MasterKeys& masters, const Principal& service,
                            KeyState state, Time now) {
  TROTH_TRY(const Kvno kvno, next_kvno(tx, service));
  StoredKey stored{.kvno = kvno,
                   .purpose = KeyPurpose::Service,
                   .state = state,
                   .not_after = std::nullopt,
                   .created = now,
                   .salt = {},
                   .key = Secret(32)};
  TROTH_TRY_VOID(common::crypto::random_bytes(stored.key.writable()));
  TROTH_TRY_VOID(insert_key(tx, masters, service.id, stored));
  if (state == KeyState::Active)
    TROTH_TRY_VOID(make_active(tx, service, kvno, now));
  return kvno;
}

Result<StoredKey> Keys::key(Id principal, Kvno kvno) {
  const Time now = core_.now();
  return core_.read([&](ReadTx& tx) -> Result<StoredKey> {
    Kvno wanted = kvno;
    if (wanted == 0) {
      TROTH_TRY(const Principal found, need_principal(tx, principal));
      wanted = found.kvno;
    }
    TROTH_TRY(auto key, find_key(tx, core_, principal, wanted));
    if (!key || !is_usable(key->state, key->purpose, key->not_after, now))
      return fail(ErrorCode::NotFound, "there is no key {} of principal {}", kvno, principal.value);
    return *std::move(key);
  });
}

Result<std::vector<StoredKey>> Keys::all_of_service(Id principal) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<StoredKey>> {
    TROTH_TRY_VOID(need_service(tx, principal));
    return all_keys(tx, core_, principal);
  });
}

// Every way through does the same: looks up the name, makes a decoy of it, looks whether the key
// that is asked for is there, and opens one sealed key.
Result<Credentials> Keys::credentials(const std::string& name, Kvno kvno) {
  const Time now = core_.now();
  return core_.read([&](ReadTx& tx) -> Result<Credentials> {
    TROTH_TRY(Decoy decoy, make_decoy(tx, core_.secrets().decoy, core_.cell(), name));
    TROTH_TRY(auto principal, find_evenly(tx, name, decoy.donor));
    const Id asked = principal ? principal->id : decoy.donor;
    const Kvno newest = principal ? principal->kvno : decoy.donor_kvno;
    const Kvno wanted = kvno == 0 ? newest : kvno;
    TROTH_TRY(const bool usable, has_usable_key(tx, asked, wanted, now));
    const bool exists = principal && usable;
    TROTH_TRY(auto key, find_key(tx, core_, exists ? asked : decoy.donor,
                                 exists ? wanted : decoy.donor_kvno));
    if (exists && key)
      return Credentials{true, *std::move(principal), *std::move(key)};
    Credentials nobody;
    nobody.principal.name = name;
    nobody.principal.kvno = 1;
    nobody.key.kvno = kvno == 0 ? 1 : kvno;
    nobody.key.purpose = KeyPurpose::User;
    nobody.key.salt = std::move(decoy.salt);
    nobody.key.parameters = decoy.parameters;
    nobody.key.key = std::move(decoy.key);
    return nobody;
  });
}

// Likewise, and without opening anything: nobody has proven anything yet.
Result<Keys::Preauth> Keys::preauth(const std::string& name) {
  return core_.read([&](ReadTx& tx) -> Result<Preauth> {
    TROTH_TRY(Decoy decoy, make_decoy(tx, core_.secrets().decoy, core_.cell(), name));
    TROTH_TRY(const auto principal, find_evenly(tx, name, decoy.donor));
    const bool user = principal && principal->kind == Kind::User;
    TROTH_TRY(auto row, tx.query("SELECT salt, log2_n, r, p FROM key WHERE principal = ?1 AND "
                                 "kvno = ?2",
                                 user ? principal->id.value : decoy.donor.value,
                                 user ? principal->kvno : decoy.donor_kvno));
    TROTH_TRY(const bool found, row.step());
    if (!user || !found)
      return Preauth{std::move(decoy.salt), decoy.parameters};
    const ByteView salt = row.column_blob(0);
    TROTH_TRY(const ScryptParameters parameters,
              ScryptParameters::make(static_cast<unsigned>(row.column_uint64(1)),
                                     static_cast<unsigned>(row.column_uint64(2)),
                                     static_cast<unsigned>(row.column_uint64(3))));
    return Preauth{Bytes(salt.begin(), salt.end()), parameters};
  });
}

Result<std::vector<StoredKey>> Keys::password_history(Id user) {
  return core_.read([&](ReadTx& tx) -> Result<std::vector<StoredKey>> {
    TROTH_TRY(const Principal principal, need_principal(tx, user));
    if (principal.kind != Kind::User)
      return fail(ErrorCode::InvalidArgument, "{} has no password", principal.name);
    TROTH_TRY(const Policy policy, policy_of(tx, principal.kind, principal.policy));
    TROTH_TRY(auto keys, all_keys(tx, core_, user));
    if (keys.size() > policy.history)
      keys.erase(keys.begin() + policy.history, keys.end());
    return keys;
  });
}

Result<Kvno> Keys::set_password(const Actor& actor, Id user, Kvno expected, const PasswordKey& key,
                                PasswordReason reason) {
  TROTH_TRY(const auto found, core_.read([&](ReadTx& tx) { return find_principal(tx, user); }));
  const bool fresh = reason == PasswordReason::NewPassword;
  const Change change{.event = fresh ? "user.passwd" : "user.rekey",
                      .subject = found ? found->name : fmt::format("id {}", user.value),
                      .details = fmt::format("after kvno={}", expected),
                      .right = Right::SelfOrAdministrator,
                      .object = user,
                      .secret = key.key.bytes()};
  const auto work = [&](WriteTx& tx, Time now) -> Result<std::uint64_t> {
    TROTH_TRY(const Principal principal, need_principal(tx, user));
    if (principal.kind != Kind::User)
      return fail(ErrorCode::InvalidArgument, "{} has no password", principal.name);
    if (principal.kvno != expected)
      return fail(ErrorCode::Conflict, "the password of {} was changed meanwhile", principal.name);
    TROTH_TRY(const Kvno kvno, add_password_key(tx, *core_.master_keys(), principal, key, now));
    if (fresh) {
      TROTH_TRY(const Policy policy, policy_of(tx, principal.kind, principal.policy));
      const std::int64_t end = policy.max_age == Millis(0) ? 0 : to_number(now + policy.max_age);
      TROTH_TRY_VOID(
          tx.run("UPDATE principal SET password_end = ?2 WHERE id = ?1", user.value, end));
    }
    return kvno;
  };
  TROTH_TRY(const std::uint64_t kvno, core_.change(actor, change, work));
  return static_cast<Kvno>(kvno);
}

}  // namespace kdc
