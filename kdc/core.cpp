#include "kdc/core.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/log/log.hpp"
#include "common/wire/binary.hpp"
#include "kdc/group_graph.hpp"

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

// A KDC that was stopped for longer keeps what is old longer: its clock may have been set wrong.
constexpr Millis kLongestStop = std::chrono::days(1);

Status check_right(ReadTx& tx, const Actor& actor, const Change& change) {
  if (actor.id == kNobody)
    return {};
  bool allowed = false;
  if (change.right == Right::GroupManager) {
    TROTH_TRY(allowed, manages_group(tx, actor.id, change.object));
  } else if (change.right == Right::Anybody ||
             (change.right == Right::SelfOrAdministrator && actor.id == change.object)) {
    TROTH_TRY(allowed, is_enabled(tx, actor.id));
  } else {
    TROTH_TRY(allowed, is_administrator(tx, actor.id));
  }
  if (allowed)
    return {};
  return fail(ErrorCode::PermissionDenied, "{} may not do that ({} {})", actor.name, change.event,
              change.subject);
}

Bytes key_of(const common::OperationId& id, Id actor) {
  // With the actor in it, nobody can meet or guess at another's operation.
  return common::wire::BinaryWriter().u64(id.high).u64(id.low).u32(actor.value).take();
}

// Keyed, because a key of a password may be in it.
Result<Bytes> request_of(const Secret& key, const Actor& actor, const Change& change) {
  common::wire::BinaryWriter writer;
  // An object may be called something else when the request is repeated, or be gone.
  const bool by_name = change.removes || change.object == kNobody;
  writer.u32(actor.id.value).text(change.event).text(change.details);
  writer.u32(by_name ? kNobody.value : change.object.value);
  writer.text(by_name ? std::string_view(change.subject) : std::string_view());
  TROTH_TRY(const auto secret, common::crypto::hmac_sha256(key.bytes(), change.secret));
  writer.fixed(secret);
  TROTH_TRY(const auto digest, common::crypto::hmac_sha256(key.bytes(), writer.view()));
  return Bytes(digest.begin(), digest.end());
}

// What a repeated operation was answered the first time.
Result<std::optional<std::uint64_t>> find_operation(ReadTx& tx, const Bytes& key,
                                                    const Bytes& request) {
  std::optional<std::uint64_t> result;
  TROTH_TRY(auto row,
            tx.query("SELECT request, result FROM operation WHERE id = ?1", ByteView(key)));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return result;
  if (!common::crypto::constant_time_equal(row.column_blob(0), request)) {
    return fail(ErrorCode::Conflict,
                "this operation id was used for another request; start again with a new one");
  }
  result = row.column_uint64(1);
  return result;
}

}  // namespace

Result<DatabaseSecrets> derive_secrets(const Secret& secret, const std::string& cell) {
  const std::string text = cell + '\0';
  const ByteView context = common::as_bytes(text);
  TROTH_TRY(Secret audit, common::crypto::derive_key(secret, "troth audit v1", context));
  TROTH_TRY(Secret attempts, common::crypto::derive_key(secret, "troth attempts v1", context));
  TROTH_TRY(Secret decoy, common::crypto::derive_key(secret, "troth decoy v1", context));
  TROTH_TRY(Secret operations, common::crypto::derive_key(secret, "troth operations v1", context));
  TROTH_TRY(Secret salts, common::crypto::derive_key(secret, "troth salts v1", context));
  return DatabaseSecrets{std::move(audit), std::move(attempts), std::move(decoy),
                         std::move(operations), std::move(salts)};
}

Core::Core(std::unique_ptr<common::db::Database> db, MasterKeys keys, DatabaseSecrets secrets,
           const common::Clock& clock, Time newest_record)
    : db_(std::move(db)),
      cell_(keys.cell()),
      secrets_(std::move(secrets)),
      clock_(clock),
      began_(clock.now()),
      began_at_(std::min(time_now(clock), newest_record + kLongestStop)) {
  set_master_keys(std::move(keys));
}

Time Core::certain_now() const {
  return std::min(now(), began_at_ + std::chrono::duration_cast<Millis>(clock_.now() - began_));
}

std::shared_ptr<const MasterKeys> Core::master_keys() {
  return masters_.lock()->present;
}

void Core::set_master_keys(MasterKeys keys) {
  auto masters = masters_.lock();
  masters->before = std::move(masters->present);
  masters->present = std::make_shared<const MasterKeys>(std::move(keys));
}

Result<Secret> Core::open_key(std::uint32_t master, const KeyPlace& place, ByteView sealed) {
  std::shared_ptr<const MasterKeys> keys;
  {
    auto masters = masters_.lock();
    const bool gone = !masters->present->has(master) && masters->before;
    keys = gone ? masters->before : masters->present;
  }
  return keys->open(master, place, sealed);
}

Result<std::uint64_t> Core::run(WriteTx& tx, const Actor& actor, const Change& change,
                                const Work& work) {
  const Time at = now();
  Bytes key;
  Bytes request;
  if (actor.operation) {
    key = key_of(*actor.operation, actor.id);
    TROTH_TRY(request, request_of(secrets_.operations, actor, change));
    TROTH_TRY(const auto known, find_operation(tx, key, request));
    if (known)
      return *known;
  }
  TROTH_TRY_VOID(check_right(tx, actor, change));
  TROTH_TRY(const std::uint64_t result, work(tx, at));
  TROTH_TRY_VOID(append_audit(tx, secrets_.audit,
                              {.at = at,
                               .event = std::string(change.event),
                               .actor = actor.id,
                               .actor_name = actor.name,
                               .subject = change.subject,
                               .source = actor.source,
                               .outcome = std::string(kAuditOk),
                               .details = change.details}));
  if (actor.operation) {
    TROTH_TRY_VOID(tx.run("INSERT INTO operation VALUES (?1, ?2, ?3, ?4)", ByteView(key),
                          ByteView(request), result, to_number(at)));
  }
  return result;
}

Result<std::optional<std::uint64_t>> Core::known_result(const Actor& actor, const Change& change) {
  std::optional<std::uint64_t> none;
  if (!actor.operation)
    return none;
  TROTH_TRY(const Bytes request, request_of(secrets_.operations, actor, change));
  return db_->read(
      [&](ReadTx& tx) { return find_operation(tx, key_of(*actor.operation, actor.id), request); });
}

Result<std::uint64_t> Core::change(const Actor& actor, const Change& change, const Work& work) {
  auto done = db_->commit([&](WriteTx& tx) { return run(tx, actor, change, work); });
  if (!done) {
    if (done.error().code == ErrorCode::PermissionDenied)
      record_refusal(actor, change, done.error());
    return tl::unexpected(done.error());
  }
  TROTH_FAILPOINT("kdc.change.committed");
  if (Status synced = db_->wait_stable(done->number, clock_.now() + kSyncPatience); !synced) {
    return fail(ErrorCode::OutcomeUnknown,
                "done, but not known to survive a power loss ({}); ask again under the same "
                "operation id",
                synced.error().message);
  }
  return done->value;
}

Result<Secret> Core::salt_for(const Actor& actor) const {
  if (actor.operation) {
    return common::crypto::hkdf_sha256(secrets_.salts.bytes(), {},
                                       key_of(*actor.operation, actor.id), 16);
  }
  Secret salt(16);
  TROTH_TRY_VOID(common::crypto::random_bytes(salt.writable()));
  return salt;
}

void Core::record_refusal(const Actor& actor, const Change& change, const common::Error& error) {
  const AuditRecord record{.at = now(),
                           .event = std::string(change.event),
                           .actor = actor.id,
                           .actor_name = actor.name,
                           .subject = change.subject,
                           .source = actor.source,
                           .outcome = std::string(common::to_string(error.code)),
                           .details = change.details};
  if (!refusals_.admit(record))
    return;
  const auto recorded =
      db_->commit([&](WriteTx& tx) { return append_audit(tx, secrets_.audit, record); });
  if (!recorded)
    common::log::error("a refusal could not be recorded", {{"why", recorded.error().message}});
}

Result<Id> take_id(WriteTx& tx, std::optional<Id> chosen) {
  const auto taken = [&](std::uint64_t id) -> Result<bool> {
    TROTH_TRY(auto row, tx.query("SELECT 1 FROM used_id WHERE id = ?1", id));
    return row.step();
  };
  if (chosen) {
    const std::uint32_t id = chosen->value;
    if (id < kFirstChosenId || id > kLastId || *chosen == kAnonymous) {
      return fail(ErrorCode::InvalidArgument, "an id is {} to {}, but not {}", kFirstChosenId,
                  kLastId, kAnonymous.value);
    }
    TROTH_TRY(const bool used, taken(id));
    if (used)
      return fail(ErrorCode::AlreadyExists, "id {} is or was somebody's; ids are never reused", id);
    TROTH_TRY_VOID(tx.run("INSERT INTO used_id VALUES (?1)", id));
    return *chosen;
  }
  std::uint64_t next = 0;
  {
    TROTH_TRY(auto row, tx.query("SELECT next_id FROM cell"));
    TROTH_TRY(const bool found, row.step());
    if (!found)
      return fail(ErrorCode::Internal, "the database has no contents yet");
    next = row.column_uint64(0);
  }
  for (;; ++next) {
    if (next > kLastId)
      return fail(ErrorCode::ResourceExhausted, "every id has been given out");
    if (next == kAnonymous.value)
      continue;
    TROTH_TRY(const bool used, taken(next));
    if (!used)
      break;
  }
  TROTH_TRY_VOID(tx.run("INSERT INTO used_id VALUES (?1)", next));
  TROTH_TRY_VOID(tx.run("UPDATE cell SET next_id = ?1", next + 1));
  return Id(static_cast<std::uint32_t>(next));
}

Result<std::uint32_t> current_master(ReadTx& tx) {
  TROTH_TRY(auto row, tx.query("SELECT master FROM cell"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Internal, "the database has no contents yet");
  return static_cast<std::uint32_t>(row.column_uint64(0));
}

}  // namespace kdc
