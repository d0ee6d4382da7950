#pragma once

// Users, services and hosts.

#include <optional>
#include <string>
#include <vector>

#include "kdc/core.hpp"
#include "kdc/password_key.hpp"

namespace kdc {

struct Principal {
  Id id;
  Kind kind = Kind::User;
  std::string name;
  bool disabled = false;
  Kvno kvno = 0;                     // of the key in use
  Kvno last_kvno = 0;                // the highest given; above kvno while a rotation is pending
  std::optional<Time> password_end;  // users only; none: no end
  std::string policy;                // empty: the default of its kind
  Time created{};
  Time changed{};
};

struct NewPrincipal {
  Kind kind = Kind::User;
  std::string name;
  std::optional<Id> id;  // chosen by an administrator
  std::string policy;
};

// Safe from any thread; blocks on the disk. Changes are as Core::change says: the right is checked
// and the audit record written in the same transaction, and a repeated operation id changes
// nothing.
class Principals {
 public:
  explicit Principals(Core& core) : core_(core) {}

  [[nodiscard]] common::Result<std::optional<Principal>> find(const std::string& name);
  [[nodiscard]] common::Result<std::optional<Principal>> find(Id id);
  // By name, after `after`, at most `limit` (kMostListed).
  [[nodiscard]] common::Result<std::vector<Principal>> list(std::optional<Kind> kind,
                                                            const std::string& after,
                                                            std::size_t limit);
  // Name of a principal or group; empty if there is none (any more).
  [[nodiscard]] common::Result<std::string> name_of(Id id);
  // Id of a principal, or of a group if the name has a colon. NotFound.
  [[nodiscard]] common::Result<Id> id_of(const std::string& name);

  // Administrators. A user comes with the key of its first password, kvno 1.
  [[nodiscard]] common::Result<Id> add_user(const Actor& actor, const NewPrincipal& user,
                                            const PasswordKey& key);
  // A service or host, with a random key, kvno 1, which Keys::key gives to whoever may have it.
  [[nodiscard]] common::Result<Id> add_service(const Actor& actor, const NewPrincipal& service);

  // A disabled principal gets no tickets and may change nothing. The last administrator cannot be
  // disabled or removed (Conflict).
  [[nodiscard]] common::Status set_disabled(const Actor& actor, const std::string& name,
                                            bool disabled);
  [[nodiscard]] common::Status set_policy(const Actor& actor, const std::string& name,
                                          const std::string& policy);
  // None: never.
  [[nodiscard]] common::Status set_password_end(const Actor& actor, const std::string& name,
                                                std::optional<Time> end);
  // Destroys its keys and ends its memberships. Refused while groups carry its name or are its own
  // (Conflict). The id is never given out again.
  [[nodiscard]] common::Status remove(const Actor& actor, const std::string& name);

 private:
  Core& core_;
};

inline constexpr std::size_t kMostListed = 1000;  // of one answer

// Inside a transaction.
common::Result<std::optional<Principal>> find_principal(common::db::ReadTx& tx,
                                                        std::string_view name);
common::Result<std::optional<Principal>> find_principal(common::db::ReadTx& tx, Id id);
// NotFound with a sentence.
common::Result<Principal> need_principal(common::db::ReadTx& tx, std::string_view name);
common::Result<Principal> need_principal(common::db::ReadTx& tx, Id id);
// Inserts the row alone; the key follows.
common::Result<Id> insert_principal(common::db::WriteTx& tx, const NewPrincipal& principal,
                                    Time now);

}  // namespace kdc
