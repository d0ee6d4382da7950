#pragma once

// Principals' keys: kept sealed, opened for a moment, rotated, destroyed.

#include <optional>
#include <string>
#include <vector>

#include "kdc/principals.hpp"

namespace kdc {

enum class KeyState : std::uint8_t {
  Active = 1,
  Pending = 2,  // made by rotate(), not used before activate()
  Retired = 3,  // of a service: good until not_after; of a user: kept against its reuse only
};

struct StoredKey {
  Kvno kvno = 0;
  KeyPurpose purpose = KeyPurpose::Service;
  KeyState state = KeyState::Active;
  std::optional<Time> not_after;
  Time created{};
  common::Bytes salt;  // empty but for users
  common::crypto::ScryptParameters parameters = common::crypto::ScryptParameters::standard();
  common::crypto::Secret key;
};

// What an AS request is checked against. For a name that does not exist, or has no such key, a
// decoy that looks alike and was made with the same work; no proof fits it.
struct Credentials {
  bool exists = false;
  Principal principal;  // of a decoy: the name that was asked for, and no id
  StoredKey key;
};

enum class Overlap : std::uint8_t {
  LongestTicket,  // the old key is good until the last ticket under it has ended
  None,           // it is destroyed at once
};

enum class PasswordReason : std::uint8_t {
  NewPassword,
  StrongerParameters,  // the same password; its end stays
};

// Safe from any thread; changes block on the disk.
class Keys {
 public:
  explicit Keys(Core& core) : core_(core) {}

  // The key in use, or the one with that kvno if it is in use or not past its end: what a ticket or
  // request may name. NotFound otherwise.
  [[nodiscard]] common::Result<StoredKey> key(Id principal, Kvno kvno = 0);
  // Whatever its state: for keytabs. Services and hosts only.
  [[nodiscard]] common::Result<std::vector<StoredKey>> all_of_service(Id principal);
  [[nodiscard]] common::Result<Credentials> credentials(const std::string& name, Kvno kvno = 0);

  // Salt and parameters for `kdc/preauth`, likewise for every name.
  struct Preauth {
    common::Bytes salt;
    common::crypto::ScryptParameters parameters = common::crypto::ScryptParameters::standard();
  };
  [[nodiscard]] common::Result<Preauth> preauth(const std::string& name);

  // The present password's key and those before it that the policy forbids to use again: a new
  // password is run through scrypt with each one's salt and parameters and compared.
  [[nodiscard]] common::Result<std::vector<StoredKey>> password_history(Id user);
  // The user's own or an administrator's. `expected` is the kvno that the caller looked at:
  // Conflict if it has changed meanwhile. At once in use; older keys are destroyed as the policy's
  // history says.
  [[nodiscard]] common::Result<Kvno> set_password(const Actor& actor, Id user, Kvno expected,
                                                  const PasswordKey& key, PasswordReason reason);

  // Administrators, or the service itself. A new random key, not in use yet; asking again gives the
  // same one until it is activated.
  [[nodiscard]] common::Result<Kvno> rotate(const Actor& actor, Id service);
  [[nodiscard]] common::Status activate(const Actor& actor, Id service, Kvno kvno, Overlap overlap);

  // New keys of the KDC's own services when they are due, and the end of old ones. True: more is
  // left to do. Called from tick.
  [[nodiscard]] common::Result<bool> rotate_own_keys();
  [[nodiscard]] common::Result<bool> destroy_ended();

 private:
  [[nodiscard]] common::Status bound_ends();
  Core& core_;
};

// Inside a transaction.
common::Status insert_key(common::db::WriteTx& tx, const MasterKeys& masters, Id principal,
                          const StoredKey& key);
// A new active key of a password / a new random key, kvno one above the highest ever.
common::Result<Kvno> add_password_key(common::db::WriteTx& tx, const MasterKeys& masters,
                                      const Principal& user, const PasswordKey& key, Time now);
common::Result<Kvno> add_random_key(common::db::WriteTx& tx, const MasterKeys& masters,
                                    const Principal& service, KeyState state, Time now);
// Overwrites, then deletes.
common::Status destroy_key(common::db::WriteTx& tx, Id principal, Kvno kvno);

}  // namespace kdc
