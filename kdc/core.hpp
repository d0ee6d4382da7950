#pragma once

// What all parts of the KDC's storage stand on: the database, the keys that open it, and the one
// way to change it. Internal: others use Database (database.hpp).

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/db/database.hpp"
#include "common/sync/locked.hpp"
#include "kdc/audit_chain.hpp"
#include "kdc/master_key.hpp"
#include "kdc/refusals.hpp"

namespace kdc {

// A disk that does not sync within this time is as good as failed.
inline constexpr std::chrono::seconds kSyncPatience{10};

// Who may make a change; checked in its transaction.
enum class Right : std::uint8_t {
  Administrator,
  SelfOrAdministrator,  // `object` is the principal
  GroupManager,         // `object` is the group
  Anybody,              // every enabled principal; the change looks further itself
};

struct Change {
  std::string_view event;  // "user.add"
  std::string subject;     // name of what is changed
  std::string details;     // with what arguments; never a secret
  Right right = Right::Administrator;
  Id object = kNobody;  // if there is one, it is what is changed, whatever it is called by now
  // The change removes its object, so a repetition knows it by its name only.
  bool removes = false;
  // What a repetition must bring again, but no record may show: a password's key.
  common::ByteView secret = {};
};

// Sub-keys of the database's own secret, one for each use.
struct DatabaseSecrets {
  common::crypto::Secret audit;
  common::crypto::Secret attempts;
  common::crypto::Secret decoy;
  common::crypto::Secret operations;
  common::crypto::Secret salts;
};
common::Result<DatabaseSecrets> derive_secrets(const common::crypto::Secret& secret,
                                               const std::string& cell);

class Core {
 public:
  Core(std::unique_ptr<common::db::Database> db, MasterKeys keys, DatabaseSecrets secrets,
       const common::Clock& clock, Time newest_record);

  // The work of a change; what it returns is the change's result, kept for repetitions. Runs inside
  // Database::commit, with its rules: possibly more than once, never blocking.
  using Work = std::function<common::Result<std::uint64_t>(common::db::WriteTx&, Time now)>;

  // Checks the right, does the work, and appends its audit record, all in one transaction; returns
  // when that is on the disk. A refusal for lack of rights is recorded in a transaction of its own,
  // or only counted, if the actor is refused again and again.
  // OutcomeUnknown: done, but it may be lost with the power.
  [[nodiscard]] common::Result<std::uint64_t> change(const Actor& actor, const Change& change,
                                                     const Work& work);

  // The result of the same request if it was carried out before; for changes that do something
  // before they come to change().
  [[nodiscard]] common::Result<std::optional<std::uint64_t>> known_result(const Actor& actor,
                                                                          const Change& change);
  // 16 bytes for the salt of a password that this actor sets: random, but the same for the same
  // operation, so that a repetition makes the same key of the same password.
  [[nodiscard]] common::Result<common::crypto::Secret> salt_for(const Actor& actor) const;

  // Reads of one consistent view.
  template <typename F>
  [[nodiscard]] auto read(F&& look) {
    return db_->read(std::forward<F>(look));
  }

  [[nodiscard]] common::db::Database& db() { return *db_; }
  [[nodiscard]] const common::Clock& clock() const { return clock_; }
  [[nodiscard]] Time now() const { return time_now(clock_); }
  // For removing what is old: how late it is for certain. A wall clock that leaps ahead by years
  // must not delete years of records, so this one goes no faster than the boot clock.
  [[nodiscard]] Time certain_now() const;
  [[nodiscard]] const std::string& cell() const { return cell_; }
  [[nodiscard]] const DatabaseSecrets& secrets() const { return secrets_; }

  // Which refusals are recorded, and how many were not.
  [[nodiscard]] Refusals& refusals() { return refusals_; }

  // Within a change, ask inside its work: only then it has what `cell` names.
  [[nodiscard]] std::shared_ptr<const MasterKeys> master_keys();
  void set_master_keys(MasterKeys keys);
  // Opens a sealed key of any view of the database that is still being read: the master keys before
  // the last change of them are remembered for it.
  [[nodiscard]] common::Result<common::crypto::Secret> open_key(std::uint32_t master,
                                                                const KeyPlace& place,
                                                                common::ByteView sealed);

 private:
  [[nodiscard]] common::Result<std::uint64_t> run(common::db::WriteTx& tx, const Actor& actor,
                                                  const Change& change, const Work& work);
  void record_refusal(const Actor& actor, const Change& change, const common::Error& error);

  const std::unique_ptr<common::db::Database> db_;
  const std::string cell_;
  const DatabaseSecrets secrets_;
  const common::Clock& clock_;
  const common::Instant began_;
  const Time began_at_;
  Refusals refusals_;
  struct Masters {
    std::shared_ptr<const MasterKeys> present;
    std::shared_ptr<const MasterKeys> before;
  };
  common::Locked<Masters> masters_;
};

// The next free id from 10,000, or `chosen` if that is allowed and free; never one that was given
// out before. InvalidArgument, AlreadyExists, ResourceExhausted.
common::Result<Id> take_id(common::db::WriteTx& tx, std::optional<Id> chosen);

// The master key that seals what is written now.
common::Result<std::uint32_t> current_master(common::db::ReadTx& tx);

}  // namespace kdc
