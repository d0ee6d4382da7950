// What sessions and mounts hold (R8, R21).

#include <algorithm>
#include <cerrno>

#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

std::int64_t key_of(SessionId session) {
  return static_cast<std::int64_t>(session.value);
}

}  // namespace

Status Volume::pin(SessionId session, NodeId node, Seq version) {
  Parts& parts = *parts_;
  // Counted before, so that the cap holds however many come at once.
  if (parts.pins.fetch_add(1) >= static_cast<std::int64_t>(parts.options.max_pins)) {
    parts.pins.fetch_sub(1);
    return fail(ErrorCode::ResourceExhausted, "too many files are held open");
  }
  const auto change = [&](WriteTx& tx) -> Result<bool> {
    TROTH_TRY_VOID(parts.resolve(tx, version, node));
    TROTH_TRY(const auto attributes, read_attributes(tx, node, version));
    if (!attributes)
      return fail_posix(ENOENT, "there is no node {} at {}", node.value, version.value);
    TROTH_TRY_VOID(
        tx.run("INSERT OR IGNORE INTO pin(session, node, seq, count) "
               "VALUES (?, ?, ?, 0)",
               key_of(session), node.value, version.value));
    const bool is_new = tx.changes() == 1;
    TROTH_TRY_VOID(
        tx.run("UPDATE pin SET count = count + 1 WHERE session = ? AND node = ? "
               "AND seq = ?",
               key_of(session), node.value, version.value));
    return is_new;
  };
  const auto done = parts.db->commit(change);
  if (!done || !done->value)
    parts.pins.fetch_sub(1);
  return done ? Status() : tl::unexpected(done.error());
}

Status Volume::unpin(SessionId session, NodeId node, Seq version) {
  Parts& parts = *parts_;
  const auto change = [&](WriteTx& tx) -> Result<bool> {
    TROTH_TRY_VOID(
        tx.run("UPDATE pin SET count = count - 1 WHERE session = ? AND node = ? "
               "AND seq = ?",
               key_of(session), node.value, version.value));
    if (tx.changes() == 0)
      return fail(ErrorCode::NotFound, "the session does not hold node {} at {}", node.value,
                  version.value);
    TROTH_TRY_VOID(
        tx.run("DELETE FROM pin WHERE session = ? AND node = ? AND seq = ? "
               "AND count <= 0",
               key_of(session), node.value, version.value));
    return tx.changes() == 1;
  };
  TROTH_TRY(const auto done, parts.db->commit(change));
  if (done.value)
    parts.pins.fetch_sub(1);
  return {};
}

Result<std::vector<Volume::Pinned>> Volume::pinned(SessionId session) {
  return parts_->db->read([&](ReadTx& tx) -> Result<std::vector<Pinned>> {
    TROTH_TRY(auto rows,
              tx.query("SELECT node, seq, count FROM pin WHERE session = ?", key_of(session)));
    std::vector<Pinned> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      found.push_back(
          {NodeId{rows.column_uint64(0)}, Seq{rows.column_uint64(1)}, rows.column_uint64(2)});
    }
  });
}

Status Volume::reserve(SessionId session, std::uint64_t nodes, std::uint64_t bytes) {
  Parts& parts = *parts_;
  if (nodes > static_cast<std::uint64_t>(INT64_MAX) || bytes > kMaxFileSize)
    return fail(ErrorCode::InvalidArgument, "nobody needs that much room");
  parts.look_at_room();
  const auto change = [&](WriteTx& tx) -> Status {
    TROTH_TRY(auto others, tx.query("SELECT coalesce(sum(nodes), 0), coalesce(sum(bytes), 0) "
                                    "FROM reservation WHERE session <> ?",
                                    key_of(session)));
    TROTH_TRY_VOID(others.step());
    TROTH_TRY(auto own,
              tx.query("SELECT nodes, bytes FROM reservation WHERE session = ?", key_of(session)));
    TROTH_TRY(const bool any, own.step());
    const std::uint64_t own_nodes = any ? own.column_uint64(0) : 0;
    const std::uint64_t own_bytes = any ? own.column_uint64(1) : 0;
    TROTH_TRY(const Head head, read_head(tx));
    if (nodes > own_nodes)
      TROTH_TRY_VOID(
          parts.check_limit(tx, kQuotaNodes, head.nodes + others.column_uint64(0) + nodes));
    if (bytes > own_bytes) {
      TROTH_TRY_VOID(
          parts.check_limit(tx, kQuotaBytes, head.bytes + others.column_uint64(1) + bytes));
      const std::uint64_t room = parts.room_free.load();
      if (others.column_uint64(1) + bytes >
          (room > parts.kept_free() ? room - parts.kept_free() : 0))
        return fail_posix(ENOSPC, "the disk of this volume has not enough room");
    }
    if (nodes == 0 && bytes == 0)
      return tx.run("DELETE FROM reservation WHERE session = ?", key_of(session));
    return tx.run("REPLACE INTO reservation(session, nodes, bytes) VALUES (?, ?, ?)",
                  key_of(session), nodes, bytes);
  };
  // Before the row is there, so that no commit overlooks it.
  if (nodes != 0 || bytes != 0)
    parts.has_reservations.store(true);
  TROTH_TRY_VOID(parts.db->commit(change));
  return {};
}

Result<Volume::Reservation> Volume::reservation(SessionId session) {
  return parts_->db->read([&](ReadTx& tx) -> Result<Reservation> {
    TROTH_TRY(auto row,
              tx.query("SELECT nodes, bytes FROM reservation WHERE session = ?", key_of(session)));
    TROTH_TRY(const bool any, row.step());
    if (!any)
      return Reservation{};
    return Reservation{row.column_uint64(0), row.column_uint64(1)};
  });
}

Result<std::vector<std::pair<SessionId, Volume::Reservation>>> Volume::reservations() {
  using All = std::vector<std::pair<SessionId, Reservation>>;
  return parts_->db->read([](ReadTx& tx) -> Result<All> {
    TROTH_TRY(auto rows, tx.query("SELECT session, nodes, bytes FROM reservation ORDER BY 1"));
    All all;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return all;
      all.emplace_back(SessionId{static_cast<std::uint64_t>(rows.column_int64(0))},
                       Reservation{rows.column_uint64(1), rows.column_uint64(2)});
    }
  });
}

Status Volume::end_session(SessionId session) {
  Parts& parts = *parts_;
  const auto change = [&](WriteTx& tx) -> Result<std::int64_t> {
    TROTH_TRY_VOID(tx.run("DELETE FROM reservation WHERE session = ?", key_of(session)));
    TROTH_TRY_VOID(tx.run("DELETE FROM pin WHERE session = ?", key_of(session)));
    return tx.changes();
  };
  TROTH_TRY(const auto done, parts.db->commit(change));
  parts.pins.fetch_sub(done.value);
  return {};
}

Result<std::vector<SessionId>> Volume::sessions() {
  return parts_->db->read([](ReadTx& tx) -> Result<std::vector<SessionId>> {
    TROTH_TRY(auto rows, tx.query("SELECT session FROM pin UNION SELECT session FROM reservation "
                                  "ORDER BY 1"));
    std::vector<SessionId> sessions;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return sessions;
      sessions.push_back(SessionId{static_cast<std::uint64_t>(rows.column_int64(0))});
    }
  });
}

Status Volume::keep(const MountId& mount, NodeId node, std::int64_t until) {
  Parts& parts = *parts_;
  const std::int64_t now = parts.wall_time();
  const auto change = [&](WriteTx& tx) -> Status {
    if (until <= now)
      return tx.run("DELETE FROM keeper WHERE node = ? AND mount = ?", node.value,
                    ByteView(mount.bytes));
    TROTH_TRY(const auto attributes, read_attributes(tx, node, {}));
    if (!attributes)
      return fail_posix(ENOENT, "there is no node {}", node.value);
    return tx.run("REPLACE INTO keeper(node, mount, until) VALUES (?, ?, ?)", node.value,
                  ByteView(mount.bytes), until);
  };
  TROTH_TRY_VOID(parts.db->commit(change));
  return {};
}

Result<std::vector<Volume::Kept>> Volume::kept() {
  return parts_->db->read([](ReadTx& tx) -> Result<std::vector<Kept>> {
    TROTH_TRY(auto rows,
              tx.query("SELECT k.mount, k.node, k.until, coalesce(n.allocated, n.size), n.uid "
                       "FROM keeper k JOIN node n ON n.id = k.node "
                       "ORDER BY k.node, k.mount"));
    std::vector<Kept> kept;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return kept;
      Kept& one = kept.emplace_back();
      const auto mount = rows.column_blob(0);
      std::memcpy(one.mount.bytes.data(), mount.data(),
                  std::min(mount.size(), one.mount.bytes.size()));
      one.node = NodeId{rows.column_uint64(1)};
      one.until = rows.column_int64(2);
      one.allocated = rows.column_uint64(3);
      one.uid = static_cast<std::uint32_t>(rows.column_uint64(4));
    }
  });
}

}  // namespace fileserver::store
