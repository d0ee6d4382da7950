// From a request to a commit (STORE.md 5).

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "common/failpoint/failpoint.hpp"
#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

// A reservation lasts for many commits; who needs another one twice in a row has a broken disk.
constexpr int kMostAttempts = 4;
constexpr std::chrono::seconds kReservePatience{30};
// How old our picture of the disk may be: at 2 GB/s it is off by 200 MB, less than what is kept
// free on any disk that fast.
constexpr std::chrono::milliseconds kRoomAge{100};
constexpr std::uint64_t kNearlyFull = 256 << 20;
constexpr std::uint64_t kLeastKeptFree = 1 << 20;
constexpr std::uint64_t kMostKeptFree = std::uint64_t{2} << 30;
// Lists of `unsynced` are forgotten this many transactions late: rarely enough to cost nothing.
constexpr std::uint64_t kForgetEvery = 64;

std::uint64_t decode_quota(const std::optional<Bytes>& value) {
  std::uint64_t limit = UINT64_MAX;
  if (value && value->size() == sizeof limit) {
    limit = 0;
    for (const std::byte byte : *value)
      limit = limit << 8U | std::to_integer<std::uint64_t>(byte);
  }
  return limit;
}

// The nodes that an operation names.
void names_of(const Operation& operation, std::vector<NodeId>& out) {
  std::visit(
      [&](const auto& op) {
        if constexpr (requires { op.node; })
          out.push_back(op.node);
        if constexpr (requires { op.parent; })
          out.push_back(op.parent);
        if constexpr (requires { op.from_parent; }) {
          out.push_back(op.from_parent);
          out.push_back(op.to_parent);
        }
      },
      operation);
}

void raise(std::atomic<std::uint64_t>& value, std::uint64_t to) {
  std::uint64_t now = value.load();
  while (now < to && !value.compare_exchange_weak(now, to)) {
  }
}

std::uint64_t growth(std::uint64_t before, std::uint64_t after) {
  return after > before ? after - before : 0;
}

Result<std::uint64_t> staged_bytes(ReadTx& tx) {
  TROTH_TRY(auto sum, tx.query("SELECT coalesce(sum(coalesce(allocated, size)), 0) FROM node "
                               "WHERE id IN (SELECT node FROM keeper)"));
  TROTH_TRY_VOID(sum.step());
  return sum.column_uint64(0);
}

}  // namespace

// --- stable seqs ---

void StableSeqs::note(std::uint64_t number, Seq seq) {
  auto state = state_.lock();
  auto& waiting = state->waiting;
  // Callers come in any order; those of one transaction share an entry.
  auto place = std::lower_bound(waiting.begin(), waiting.end(), number,
                                [](const auto& entry, std::uint64_t n) { return entry.first < n; });
  if (place != waiting.end() && place->first == number)
    place->second = std::max(place->second, seq.value);
  else
    waiting.insert(place, {number, seq.value});
  if (waiting.size() > kMost)
    waiting.pop_front();
}

Seq StableSeqs::up_to(std::uint64_t stable) {
  auto state = state_.lock();
  while (!state->waiting.empty() && state->waiting.front().first <= stable) {
    state->seq = std::max(state->seq, state->waiting.front().second);
    state->waiting.pop_front();
  }
  return Seq{state->seq};
}

void StableSeqs::reset(Seq seq) {
  auto state = state_.lock();
  state->waiting.clear();
  state->seq = seq.value;
}

// --- room and quota ---

std::int64_t Volume::Parts::wall_time() const {
  return clock.wall_now().time_since_epoch().count();
}

void Volume::Parts::look_at_room(bool at_once) {
  const auto now = clock.now().time_since_epoch().count();
  auto seen = room_seen.load(std::memory_order_relaxed);
  // Near the end each look counts.
  at_once |= room_free.load() < 2 * kept_free() + kNearlyFull;
  if (!at_once && seen != 0 && now - seen < common::Duration(kRoomAge).count())
    return;
  if (!room_seen.compare_exchange_strong(seen, now) && !at_once)
    return;  // somebody else looks
  VolumeOptions::Room room;
  if (options.room) {
    const auto answer = options.room();
    if (!answer)
      return;
    room = *answer;
  } else {
    std::error_code error;
    const auto space = std::filesystem::space(directory, error);
    if (error)
      return;  // the disk itself will say when it is full
    room = {space.available, space.capacity};
  }
  room_total.store(room.total);
  room_free.store(room.free);
}

std::uint64_t Volume::Parts::kept_free() const {
  return std::clamp(room_total.load() / 50, kLeastKeptFree, kMostKeptFree);  // 2 %
}

std::uint64_t Volume::Parts::room_for_blocks() {
  look_at_room(true);
  // Growing stops earlier, at its commit: overwriting goes on for a while.
  const std::uint64_t kept = kept_free() / 2;
  const std::uint64_t free = room_free.load();
  return free > kept ? free - kept : 0;
}

Status Volume::Parts::check_limit(ReadTx& tx, std::string_view setting, std::uint64_t total) {
  TROTH_TRY(const auto limit, read_setting(tx, setting, {}));
  if (total > decode_quota(limit))
    return fail_posix(EDQUOT, "the volume's {} is used up", setting);
  return {};
}

Status Volume::Parts::check_room() const {
  if (room_free.load() < kept_free())
    return fail_posix(ENOSPC, "the disk of this volume is full: remove files, or add room");
  return {};
}

Status Volume::Parts::check_quota(WriteTx& tx, const CommitRequest& request, const Head& before,
                                  const Executed& executed) {
  std::uint64_t more_bytes = growth(before.bytes, executed.total_bytes);
  std::uint64_t more_nodes = growth(before.nodes, executed.total_nodes);
  if (more_bytes == 0 && more_nodes == 0)
    return {};
  TROTH_TRY_VOID(check_room());
  std::uint64_t reserved_bytes = 0;
  std::uint64_t reserved_nodes = 0;
  if (has_reservations.load()) {
    if (request.draw_reservation) {
      // What was reserved is the session's to use, whatever has become of the quota since.
      TROTH_TRY(auto own, tx.query("SELECT nodes, bytes FROM reservation WHERE session = ?",
                                   static_cast<std::int64_t>(request.caller.session.value)));
      TROTH_TRY(const bool any, own.step());
      if (any) {
        const std::uint64_t nodes = std::min(more_nodes, own.column_uint64(0));
        const std::uint64_t bytes = std::min(more_bytes, own.column_uint64(1));
        TROTH_TRY_VOID(
            tx.run("UPDATE reservation SET nodes = nodes - ?2, bytes = bytes - ?3 "
                   "WHERE session = ?1",
                   static_cast<std::int64_t>(request.caller.session.value), nodes, bytes));
        more_nodes -= nodes;
        more_bytes -= bytes;
      }
    }
    TROTH_TRY(auto all, tx.query("SELECT coalesce(sum(nodes), 0), coalesce(sum(bytes), 0) "
                                 "FROM reservation"));
    TROTH_TRY_VOID(all.step());
    reserved_nodes = all.column_uint64(0);
    reserved_bytes = all.column_uint64(1);
  }
  if (more_bytes > 0 && !check_limit(tx, kQuotaBytes, executed.total_bytes + reserved_bytes)) {
    // What is staged is in the total, and no file's yet.
    TROTH_TRY(const std::uint64_t staged, staged_bytes(tx));
    TROTH_TRY_VOID(check_limit(
        tx, kQuotaBytes,
        executed.total_bytes - std::min(staged, executed.total_bytes) + reserved_bytes));
  }
  if (more_nodes > 0)
    TROTH_TRY_VOID(check_limit(tx, kQuotaNodes, executed.total_nodes + reserved_nodes));
  return {};
}

// --- commits ---

Result<std::optional<CommitReply>> Volume::Parts::replay_in(ReadTx& tx,
                                                            const CommitRequest& request) {
  if (request.key->number == 0 || request.key->number > static_cast<std::uint64_t>(INT64_MAX))
    return fail(ErrorCode::InvalidArgument, "{} cannot be the number of an operation",
                request.key->number);
  TROTH_TRY(const auto record, read_record_of(tx, *request.key, seal));
  if (!record)
    return std::optional<CommitReply>();
  if (record->principal != request.caller.principal)
    return fail(ErrorCode::PermissionDenied, "this operation is somebody else's");
  CommitReply reply;
  reply.seq = record->seq;
  reply.epoch = record->epoch;
  reply.time = record->time;
  reply.replayed = true;
  std::vector<NodeId> named;
  for (const Operation& operation : record->operations) {
    const auto* const create = std::get_if<Create>(&operation);
    reply.created.push_back(create != nullptr ? create->node : NodeId{});
    names_of(operation, named);
  }
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  for (const NodeId node : named) {
    TROTH_TRY(const auto attributes, read_attributes(tx, node, record->seq));
    if (attributes)
      reply.nodes.push_back({*attributes, false});
  }
  reply.operations = record->operations;
  return std::optional(std::move(reply));
}

Status Volume::Parts::note_segment(WriteTx& tx, std::uint32_t segment) {
  if (segment <= last_segment.load())
    return {};
  TROTH_TRY_VOID(tx.run("UPDATE volume SET last_segment = max(last_segment, ?)", segment));
  return {};
}

Status Volume::Parts::enter_blocks(WriteTx& tx, Seq seq, const Upload& upload) {
  std::uint32_t newest = 0;
  for (const NewBlock& block : upload.written())
    newest = std::max(newest, block.placement.segment);
  TROTH_TRY_VOID(note_segment(tx, newest));
  return write_blocks(tx, seq, upload, may_move());
}

Status Volume::Parts::take_holds(WriteTx& tx, const CommitRequest& request, Seq seq) const {
  for (const Hold& hold : request.holds) {
    if (hold.pin) {
      if (pins.load() >= static_cast<std::int64_t>(options.max_pins))
        return fail(ErrorCode::ResourceExhausted, "too many files are held open");
      TROTH_TRY_VOID(tx.run("INSERT INTO pin(session, node, seq, count) VALUES (?, ?, ?, 1)",
                            static_cast<std::int64_t>(request.caller.session.value),
                            hold.node.value, seq.value));
    }
    if (hold.keeper)
      TROTH_TRY_VOID(tx.run("REPLACE INTO keeper(node, mount, until) VALUES (?, ?, ?)",
                            hold.node.value, ByteView(hold.keeper->bytes), hold.until));
  }
  return {};
}

Result<CommitReply> Volume::Parts::commit_in(WriteTx& tx, const CommitRequest& request,
                                             bool& out_of_reserve) {
  out_of_reserve = false;
  if (request.key) {
    TROTH_TRY(auto replayed, replay_in(tx, request));
    if (replayed)
      return *std::move(replayed);
  }
  TROTH_TRY_VOID(check_conditions(tx, request.conditions));
  ExecuteContext context;
  TROTH_TRY(context.before, read_head(tx));
  context.seq = Seq{context.before.seq.value + 1};
  // The last one is kept for the next reservation itself.
  if (context.seq.value >= reserved_seq.load()) {
    out_of_reserve = true;
    return fail(ErrorCode::Unavailable, "no seq is reserved");
  }
  context.epoch = Epoch{epoch.load()};
  context.time = std::max(wall_time(), context.before.time);
  context.seal = &seal;
  context.new_node = [&]() -> Result<NodeId> {
    const std::uint64_t id = next_node.fetch_add(1);
    if (id <= reserved_node.load())
      return NodeId{id};
    out_of_reserve = true;
    return fail(ErrorCode::Unavailable, "no node id is reserved");
  };
  if (request.check_present)
    TROTH_TRY_VOID(request.check_present(tx));
  if (request.upload != nullptr)
    TROTH_TRY_VOID(enter_blocks(tx, context.seq, *request.upload));
  TROTH_TRY(Executed executed, execute(tx, context, request.operations));
  if (request.check_touched)
    TROTH_TRY_VOID(request.check_touched(executed.nodes));
  // Before the quota, which does not count what is kept.
  TROTH_TRY_VOID(take_holds(tx, request, context.seq));
  TROTH_TRY_VOID(check_quota(tx, request, context.before, executed));
  CommitHeader header{
      context.seq, context.epoch, context.time, request.caller.principal, request.caller.session,
      request.key};
  TROTH_TRY_VOID(write_commit(tx, header, executed));
  TROTH_FAILPOINT_TRY("store.commit.before_commit");
  CommitReply reply;
  reply.seq = context.seq;
  reply.epoch = context.epoch;
  reply.time = context.time;
  reply.nodes = std::move(executed.nodes);
  reply.created = std::move(executed.created);
  return reply;
}

Result<CommitReply> Volume::Parts::commit(const CommitRequest& request) {
  if (follows.load())
    return fail(ErrorCode::Unavailable, "this copy of the volume follows another, which commits");
  if (request.operations.empty())
    return fail(ErrorCode::InvalidArgument, "a commit changes something");
  look_at_room();
  for (int attempt = 1;; ++attempt) {
    bool out_of_reserve = false;
    // Read before: whatever is stable now is so when the transaction runs.
    const std::uint64_t stable = db->stable();
    const std::uint64_t newest = newest_unsynced.load();
    const std::uint64_t forgotten = forgotten_unsynced.load();
    const std::uint64_t may_go = std::min(stable, newest);
    const bool forget =
        may_go >= forgotten + kForgetEvery || (may_go > forgotten && may_go == newest);
    const auto change = [&](WriteTx& tx) -> Result<CommitReply> {
      if (forget)
        TROTH_TRY_VOID(forget_unsynced(tx, may_go));
      return commit_in(tx, request, out_of_reserve);
    };
    auto done = db->commit(change, request.deadline);
    if (!done && out_of_reserve && attempt < kMostAttempts) {
      TROTH_TRY_VOID(reserve_ahead(true));
      continue;
    }
    if (!done)
      return tl::unexpected(std::move(done).error());
    if (forget)
      raise(forgotten_unsynced, may_go);
    if (request.upload != nullptr)
      entered(done->number, *request.upload);
    CommitReply reply = std::move(done->value);
    reply.number = done->number;
    if (!reply.replayed) {
      committed(done->number, reply.seq);
      pins.fetch_add(std::count_if(request.holds.begin(), request.holds.end(),
                                   [](const Hold& hold) { return hold.pin; }));
    }
    TROTH_FAILPOINT("store.commit.before_reply");
    // It is committed whatever happens here; should reserving fail, the next one will say so. A
    // retry changes nothing at all.
    if (!reply.replayed)
      static_cast<void>(reserve_ahead(false));
    reply.stable = stable_seq();
    return reply;
  }
}

void Volume::Parts::entered(std::uint64_t number, const Upload& upload) {
  if (upload.written().empty())
    return;
  raise(newest_unsynced, number);
  for (const NewBlock& block : upload.written()) {
    std::uint32_t now = last_segment.load();
    while (now < block.placement.segment &&
           !last_segment.compare_exchange_weak(now, block.placement.segment)) {
    }
  }
}

void Volume::Parts::committed(std::uint64_t number, Seq seq) {
  stable_seqs.note(number, seq);
  raise(last_seq, seq.value);
  if (!options.hold_visible)
    raise(visible, seq.value);
}

Seq Volume::Parts::stable_seq() {
  return stable_seqs.up_to(db->stable());
}

// --- reserving ---

Status Volume::Parts::reserve_ahead(bool needed) {
  const auto half = options.reserve_ahead / 2;
  const auto enough = [&] {
    return last_seq.load() + half < reserved_seq.load() &&
           next_node.load() + half < reserved_node.load();
  };
  if (!needed && enough())
    return {};
  if (needed) {
    const common::MutexLock lock(reserve_mutex);
    return enough() ? Status() : reserve_more_locked();
  }
  if (!reserve_mutex.try_lock())
    return {};  // somebody is at it
  const common::MutexLock lock(reserve_mutex, std::adopt_lock);
  return enough() ? Status() : reserve_more_locked();
}

Status Volume::Parts::reserve_more_locked() {
  Reserve reserve;
  const auto change = [&](WriteTx& tx) -> Result<Seq> {
    TROTH_TRY(const Head head, read_head(tx));
    const Seq seq{head.seq.value + 1};
    reserve.seq = Seq{seq.value + options.reserve_ahead};
    reserve.node = NodeId{std::max(next_node.load(), reserved_node.load()) + options.reserve_ahead};
    const Operation operation = reserve;
    TROTH_TRY_VOID(own_commit(tx, seq, Epoch{epoch.load()}, std::span(&operation, 1)));
    return seq;
  };
  TROTH_TRY(const auto done, db->commit(change));
  committed(done.number, done.value);
  TROTH_FAILPOINT("store.reserve.before_stable");
  TROTH_TRY_VOID(db->wait_stable(done.number, clock.now() + kReservePatience));
  reserved_seq.store(reserve.seq.value);
  reserved_node.store(reserve.node.value);
  return {};
}

Result<NodeId> Volume::Parts::take_node_ids(std::uint64_t count) {
  for (int attempt = 1; attempt <= kMostAttempts; ++attempt) {
    std::uint64_t first = next_node.load();
    while (first + count - 1 <= reserved_node.load()) {
      if (next_node.compare_exchange_weak(first, first + count))
        return NodeId{first};
    }
    TROTH_TRY_VOID(reserve_ahead(true));
  }
  return fail(ErrorCode::Overloaded, "node ids are being used up faster than they are reserved");
}

// --- the calls ---

Result<CommitReply> Volume::commit(const CommitRequest& request) {
  return parts_->commit(request);
}

Result<std::optional<CommitReply>> Volume::replay(const CommitRequest& request) {
  if (!request.key)
    return std::optional<CommitReply>();
  TROTH_TRY(auto reply,
            parts_->db->read([&](ReadTx& tx) { return parts_->replay_in(tx, request); }));
  if (reply)
    reply->stable = parts_->stable_seq();
  return reply;
}

Result<NodeId> Volume::grant_node_ids(std::uint64_t count) {
  if (count == 0 || count > parts_->options.reserve_ahead)
    return fail(ErrorCode::InvalidArgument, "1 to {} node ids are granted at a time",
                parts_->options.reserve_ahead);
  return parts_->take_node_ids(count);
}

Status Volume::wait_stable(const CommitReply& reply, common::Instant deadline) {
  return parts_->db->wait_stable(reply.number, deadline);
}

Status Volume::sync(common::Instant deadline) {
  return parts_->db->sync(deadline);
}

}  // namespace fileserver::store
