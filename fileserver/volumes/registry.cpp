#include "fileserver/volumes/registry.hpp"

#include <algorithm>
#include <cstring>

#include "common/db/database.hpp"
#include "common/failpoint/failpoint.hpp"
#include "fileserver/volumes/schema.sql.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::db::ReadTx;
using common::db::Statement;
using common::db::WriteTx;

constexpr std::uint32_t kRegistryId = 0x74'66'73'72;  // "tfsr"
constexpr common::db::Migration kMigrations[] = {{kSchemaSql}};
constexpr std::chrono::seconds kSyncPatience{30};
// Mounts that have not been seen for long are forgotten, oldest first, beyond this many: a mount id
// is 128 random bits, so nobody takes over a forgotten one by chance.
constexpr std::uint64_t kMostMounts = 100'000;
// Of these, one principal's: nobody pushes out everybody else's.
constexpr std::uint64_t kMostMountsOfOne = 4'000;
// Counting them takes a millisecond: one session in so many does it.
constexpr std::uint64_t kTrimEvery = 64;

enum class Role : std::int64_t { TrustedHost = 1, Administrator = 2 };

template <std::size_t N>
void read_blob(const Statement& row, int column, std::array<std::byte, N>& into) {
  const auto blob = row.column_blob(column);
  std::memcpy(into.data(), blob.data(), std::min(blob.size(), into.size()));
}

PrincipalId principal_in(const Statement& row, int column) {
  return PrincipalId{static_cast<std::uint32_t>(row.column_int64(column))};
}

Result<std::vector<PrincipalId>> read_principals(ReadTx& tx, VolumeId volume, Role role) {
  TROTH_TRY(auto rows, tx.query("SELECT principal FROM policy_principal WHERE volume = ? AND "
                                "role = ? ORDER BY principal",
                                volume.value, static_cast<std::int64_t>(role)));
  std::vector<PrincipalId> found;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return found;
    found.push_back(principal_in(rows, 0));
  }
}

Status write_policy(WriteTx& tx, const VolumeEntry& entry) {
  TROTH_TRY_VOID(tx.run("DELETE FROM policy_principal WHERE volume = ?", entry.id.value));
  const auto add = [&](Role role, const std::vector<PrincipalId>& principals) -> Status {
    for (const PrincipalId principal : principals) {
      TROTH_TRY_VOID(
          tx.run("INSERT OR IGNORE INTO policy_principal(volume, role, principal) VALUES (?, ?, ?)",
                 entry.id.value, static_cast<std::int64_t>(role), principal.value));
    }
    return {};
  };
  TROTH_TRY_VOID(add(Role::TrustedHost, entry.policy.trusted_hosts));
  return add(Role::Administrator, entry.policy.administrators);
}

Result<std::vector<Registry::VolumeRow>> read_volumes(ReadTx& tx) {
  std::vector<Registry::VolumeRow> found;
  {
    TROTH_TRY(auto rows, tx.query("SELECT id, stage, name, uuid, is_root, sealed, write_conflict, "
                                  "close_level, attached_volume, attached_node FROM volume "
                                  "WHERE stage <> 4 ORDER BY id"));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      Registry::VolumeRow& row = found.emplace_back();
      VolumeEntry& entry = row.entry;
      entry.id = VolumeId{static_cast<std::uint32_t>(rows.column_int64(0))};
      row.stage = static_cast<Registry::Stage>(rows.column_int64(1));
      entry.name = rows.column_text(2);
      read_blob(rows, 3, entry.uuid);
      entry.is_root = rows.column_int64(4) != 0;
      entry.sealed = rows.column_int64(5) != 0;
      entry.policy.write_conflict = static_cast<WriteConflict>(rows.column_int64(6));
      entry.policy.close_level = static_cast<CloseLevel>(rows.column_int64(7));
      if (!rows.column_is_null(8)) {
        entry.attached_at = Fid{VolumeId{static_cast<std::uint32_t>(rows.column_int64(8))},
                                NodeId{rows.column_uint64(9)}};
      }
    }
  }
  for (Registry::VolumeRow& row : found) {
    TROTH_TRY(row.entry.policy.trusted_hosts, read_principals(tx, row.entry.id, Role::TrustedHost));
    TROTH_TRY(row.entry.policy.administrators,
              read_principals(tx, row.entry.id, Role::Administrator));
  }
  return found;
}

Result<FormerServer> read_former(ReadTx& tx) {
  FormerServer former;
  {
    TROTH_TRY(auto row, tx.query("SELECT clean, longest_lease FROM server"));
    TROTH_TRY(const bool found, row.step());
    if (!found)
      return fail(ErrorCode::Corrupt, "the file server's registry has lost its own row");
    former.clean = row.column_int64(0) != 0;
    former.longest_lease = std::chrono::milliseconds(row.column_int64(1));
  }
  TROTH_TRY(auto rows,
            tx.query("SELECT id, mount, opener, opener_name, lease, key FROM session ORDER BY id"));
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return former;
    SessionRecord& record = former.sessions.emplace_back();
    record.session = SessionId{rows.column_uint64(0)};
    read_blob(rows, 1, record.mount.bytes);
    record.opener = principal_in(rows, 2);
    record.opener_name = rows.column_text(3);
    record.lease = std::chrono::milliseconds(rows.column_int64(4));
    record.key = std::make_shared<const common::crypto::Secret>(
        common::crypto::Secret::copy_of(rows.column_blob(5)));
  }
}

// Forgets mounts beyond the caps, those with a session apart, and the node ids that were theirs.
Status trim_mounts(WriteTx& tx, PrincipalId owner) {
  TROTH_TRY_VOID(
      tx.run("DELETE FROM mount WHERE id IN (SELECT id FROM mount WHERE owner = ?1 AND id NOT IN "
             "(SELECT mount FROM session) ORDER BY seen LIMIT max(0, (SELECT count(*) FROM mount "
             "WHERE owner = ?1) - ?2))",
             owner.value, kMostMountsOfOne));
  const std::int64_t of_one = tx.changes();
  TROTH_TRY_VOID(
      tx.run("DELETE FROM mount WHERE id IN (SELECT id FROM mount WHERE id NOT IN (SELECT mount "
             "FROM session) ORDER BY seen LIMIT max(0, (SELECT count(*) FROM mount) - ?1))",
             kMostMounts));
  if (of_one + tx.changes() == 0)
    return {};
  return tx.run("DELETE FROM node_range WHERE mount NOT IN (SELECT id FROM mount)");
}

}  // namespace

struct Registry::Parts {
  std::unique_ptr<common::db::Database> db;
  const common::Clock& clock;
  FormerServer former;

  [[nodiscard]] std::int64_t now() const { return clock.wall_now().time_since_epoch().count(); }

  // Committed, and on the disk.
  template <typename F>
  Status change(F&& what) {
    TROTH_TRY(const std::uint64_t number, db->commit(what));
    TROTH_FAILPOINT_TRY("registry.change.before_stable");
    return db->wait_stable(number, clock.now() + kSyncPatience);
  }
};

Registry::Registry(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Registry::~Registry() = default;

Result<std::unique_ptr<Registry>> Registry::open(const std::string& directory,
                                                 const common::Clock& clock) {
  common::db::Options options;
  options.application_id = kRegistryId;
  options.overwrite_deleted = true;  // keys of sessions
  TROTH_TRY(auto db, common::db::Database::open(directory + "/fileserver.db", std::move(options),
                                                kMigrations, clock));
  TROTH_TRY(FormerServer former, db->read(read_former));
  auto parts = std::make_unique<Parts>(Parts{std::move(db), clock, std::move(former)});
  TROTH_TRY_VOID(parts->change([](WriteTx& tx) { return tx.run("UPDATE server SET clean = 0"); }));
  return std::unique_ptr<Registry>(new Registry(std::move(parts)));
}

const FormerServer& Registry::former() const {
  return parts_->former;
}

// --- volumes ---

Result<std::vector<Registry::VolumeRow>> Registry::volumes() {
  return parts_->db->read(read_volumes);
}

Status Registry::add_volume(const VolumeEntry& entry) {
  const std::int64_t now = parts_->now();
  return parts_->change([&](WriteTx& tx) -> Status {
    TROTH_TRY(auto same, tx.query("SELECT 1 FROM volume WHERE name = ? OR id = ?",
                                  std::string_view(entry.name), entry.id.value));
    TROTH_TRY(const bool taken, same.step());
    if (taken)
      return fail(ErrorCode::AlreadyExists, "there is a volume \"{}\" already", entry.name);
    TROTH_TRY_VOID(tx.run(
        "INSERT INTO volume(id, stage, name, uuid, is_root, sealed, write_conflict, close_level, "
        "created) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?)",
        entry.id.value, std::string_view(entry.name), common::ByteView(entry.uuid),
        std::int64_t{entry.is_root}, std::int64_t{entry.sealed},
        static_cast<std::int64_t>(entry.policy.write_conflict),
        static_cast<std::int64_t>(entry.policy.close_level), now));
    return write_policy(tx, entry);
  });
}

Status Registry::set_stage(VolumeId id, Stage stage) {
  return parts_->change([&](WriteTx& tx) -> Status {
    if (stage == Stage::Gone) {
      TROTH_TRY_VOID(tx.run("DELETE FROM policy_principal WHERE volume = ?", id.value));
      TROTH_TRY_VOID(tx.run("DELETE FROM node_range WHERE volume = ?", id.value));
      return tx.run(
          "UPDATE volume SET stage = 4, name = NULL, is_root = 0, attached_volume = NULL, "
          "attached_node = NULL WHERE id = ?",
          id.value);
    }
    return tx.run("UPDATE volume SET stage = ? WHERE id = ?", static_cast<std::int64_t>(stage),
                  id.value);
  });
}

Status Registry::update_volume(const VolumeEntry& entry) {
  return parts_->change([&](WriteTx& tx) -> Status {
    TROTH_TRY(auto same, tx.query("SELECT 1 FROM volume WHERE name = ? AND id <> ?",
                                  std::string_view(entry.name), entry.id.value));
    TROTH_TRY(const bool taken, same.step());
    if (taken)
      return fail(ErrorCode::AlreadyExists, "there is a volume \"{}\" already", entry.name);
    TROTH_TRY_VOID(
        tx.run("UPDATE volume SET name = ?, uuid = ?, is_root = ?, write_conflict = ?, "
               "close_level = ?, attached_volume = NULL, attached_node = NULL WHERE id = ?",
               std::string_view(entry.name), common::ByteView(entry.uuid),
               std::int64_t{entry.is_root}, static_cast<std::int64_t>(entry.policy.write_conflict),
               static_cast<std::int64_t>(entry.policy.close_level), entry.id.value));
    if (entry.attached_at)
      TROTH_TRY_VOID(tx.run("UPDATE volume SET attached_volume = ?, attached_node = ? WHERE id = ?",
                            entry.attached_at->volume.value, entry.attached_at->node.value,
                            entry.id.value));
    return write_policy(tx, entry);
  });
}

// --- sessions ---

Status Registry::add_session(const SessionRecord& record) {
  const std::int64_t now = parts_->now();
  return parts_->change([&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run(
        "INSERT OR REPLACE INTO session(id, mount, opener, opener_name, key, lease, opened) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        record.session.value, common::ByteView(record.mount.bytes), record.opener.value,
        std::string_view(record.opener_name), record.key->bytes(), record.lease.count(), now));
    TROTH_TRY_VOID(tx.run("UPDATE server SET longest_lease = ?1 WHERE longest_lease < ?1",
                          record.lease.count()));
    TROTH_TRY_VOID(
        tx.run("INSERT INTO mount(id, owner, seen) VALUES (?1, ?2, ?3) "
               "ON CONFLICT(id) DO UPDATE SET seen = ?3",
               common::ByteView(record.mount.bytes), record.opener.value, now));
    return record.session.value % kTrimEvery == 0 ? trim_mounts(tx, record.opener) : Status();
  });
}

Status Registry::remove_session(SessionId session) {
  return parts_->change(
      [&](WriteTx& tx) { return tx.run("DELETE FROM session WHERE id = ?", session.value); });
}

Result<std::optional<PrincipalId>> Registry::owner_of(const store::MountId& mount) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::optional<PrincipalId>> {
    TROTH_TRY(auto row,
              tx.query("SELECT owner FROM mount WHERE id = ?", common::ByteView(mount.bytes)));
    TROTH_TRY(const bool found, row.step());
    if (!found)
      return std::optional<PrincipalId>();
    return std::optional(principal_in(row, 0));
  });
}

// --- node ids ---

Status Registry::add_node_range(const store::MountId& mount, VolumeId volume, NodeId first,
                                std::uint64_t count, std::size_t most) {
  return parts_->change([&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(
        tx.run("INSERT OR REPLACE INTO node_range(mount, volume, first, count) VALUES (?, ?, ?, ?)",
               common::ByteView(mount.bytes), volume.value, first.value, count));
    // Ids grow, so the lowest are the oldest.
    return tx.run(
        "DELETE FROM node_range WHERE mount = ?1 AND volume = ?2 AND first NOT IN (SELECT first "
        "FROM node_range WHERE mount = ?1 AND volume = ?2 ORDER BY first DESC LIMIT ?3)",
        common::ByteView(mount.bytes), volume.value, most);
  });
}

Result<std::vector<Registry::Range>> Registry::node_ranges(const store::MountId& mount,
                                                           VolumeId volume) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::vector<Range>> {
    TROTH_TRY(auto rows, tx.query("SELECT first, count FROM node_range WHERE mount = ? AND "
                                  "volume = ? ORDER BY first",
                                  common::ByteView(mount.bytes), volume.value));
    std::vector<Range> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back({NodeId{rows.column_uint64(0)}, rows.column_uint64(1)});
    }
  });
}

Status Registry::health() const {
  return parts_->db->health();
}

Status Registry::close(bool clean) {
  if (clean)
    TROTH_TRY_VOID(
        parts_->change([](WriteTx& tx) { return tx.run("UPDATE server SET clean = 1"); }));
  return parts_->db->close();
}

}  // namespace fileserver
