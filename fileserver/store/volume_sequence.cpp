// The one sequence: shipping it, redoing it, going back in it.

#include "common/failpoint/failpoint.hpp"
#include "fileserver/store/meta/rollback.hpp"
#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// What changes_since answers at a time: a few records of the largest kind.
constexpr std::size_t kMostRecords = 10'000;
constexpr std::size_t kMostRecordBytes = 16 << 20;
constexpr std::size_t kMissingLimit = 1;

}  // namespace

Seq Volume::last_seq() const {
  return Seq{parts_->last_seq.load()};
}

Seq Volume::stable_seq() const {
  return parts_->stable_seq();
}

Seq Volume::visible_seq() const {
  return Seq{parts_->visible.load()};
}

Epoch Volume::epoch() const {
  return Epoch{parts_->epoch.load()};
}

Status Volume::set_visible(Seq seq) {
  if (!parts_->options.hold_visible)
    return fail(ErrorCode::InvalidArgument, "commits of this volume are visible at once");
  std::uint64_t now = parts_->visible.load();
  if (seq.value > parts_->last_seq.load())
    return fail(ErrorCode::InvalidArgument, "commit {} is not here", seq.value);
  while (now < seq.value && !parts_->visible.compare_exchange_weak(now, seq.value)) {
  }
  return {};
}

Result<std::vector<CommitRecord>> Volume::changes_since(Seq after, std::size_t limit) {
  Parts& parts = *parts_;
  return parts.db->read([&](ReadTx& tx) -> Result<std::vector<CommitRecord>> {
    TROTH_TRY(const auto row, read_volume_row(tx));
    if (after < row->floor)
      return fail(ErrorCode::Expired, "the log begins at {}", row->floor.value);
    return read_records(tx, after, std::min(limit, kMostRecords), kMostRecordBytes, parts.seal);
  });
}

Status Volume::redo(const CommitRecord& record, Upload* upload) {
  Parts& parts = *parts_;
  if (!parts.follows.load())
    return fail(ErrorCode::InvalidArgument, "this copy commits by itself; it redoes nothing");
  // Blocks first: a commit refers to what is here (I1). What the caller brought is in `upload`.
  Upload own = parts.blocks->begin_upload();
  Upload& pinned = upload != nullptr ? *upload : own;
  for (const Operation& operation : record.operations) {
    Operation copy = operation;
    const Content* const content = content_of(copy);
    if (content == nullptr || content->root.is_hole())
      continue;
    // What the node has already is whole: only what differs is looked at, and pinned.
    const auto* const set = std::get_if<SetContent>(&operation);
    std::optional<Content> present;
    if (set != nullptr) {
      const auto look = [&](ReadTx& tx) { return read_content_of(tx, set->node, {}, parts.seal); };
      TROTH_TRY(present, parts.db->read(look));
    }
    TROTH_TRY(const auto missing,
              missing_blocks(*parts.blocks, content->root, content->tree_size(), kMissingLimit,
                             &pinned, present ? &*present : nullptr));
    if (!missing.empty())
      return fail(ErrorCode::Unavailable, "blocks of commit {} are missing here", record.seq.value);
  }
  const auto change = [&](WriteTx& tx) -> Status {
    ExecuteContext context;
    TROTH_TRY(context.before, read_head(tx));
    if (record.previous != context.before.seq)
      return fail(ErrorCode::Conflict, "commit {} follows {}, and the last one here is {}",
                  record.seq.value, record.previous.value, context.before.seq.value);
    if (record.epoch < context.before.epoch)
      return fail(ErrorCode::Stale, "commit {} is of epoch {}, which {} has ended",
                  record.seq.value, record.epoch.value, context.before.epoch.value);
    if (record.seq <= context.before.seq || record.time < context.before.time)
      return fail(ErrorCode::Protocol, "commit {} goes back in seq or time", record.seq.value);
    context.seq = record.seq;
    context.epoch = record.epoch;
    context.time = record.time;
    context.redo = true;
    context.seal = &parts.seal;
    TROTH_TRY_VOID(parts.enter_blocks(tx, record.seq, pinned));
    TROTH_TRY(const Executed executed, execute(tx, context, record.operations));
    if (executed.resolved != record.operations)
      return fail(ErrorCode::Protocol, "commit {} is not resolved", record.seq.value);
    return write_commit(
        tx, {record.seq, record.epoch, record.time, record.principal, record.session, record.key},
        executed);
  };
  TROTH_FAILPOINT_TRY("store.redo.before_commit");
  TROTH_TRY(const std::uint64_t number, parts.db->commit(change));
  TROTH_FAILPOINT("store.redo.after_commit");
  parts.entered(number, pinned);
  parts.epoch.store(std::max(parts.epoch.load(), record.epoch.value));
  parts.committed(number, record.seq);
  return {};
}

Status Volume::follow() {
  Parts& parts = *parts_;
  parts.follows.store(true);
  const auto change = [](WriteTx& tx) { return tx.run("UPDATE volume SET follows = 1"); };
  TROTH_TRY_VOID(parts.db->commit(change));
  return parts.sync();
}

bool Volume::follows() const {
  return parts_->follows.load();
}

Status Volume::begin_epoch(Epoch epoch) {
  Parts& parts = *parts_;
  if (epoch.value <= parts.epoch.load())
    return fail(ErrorCode::Stale, "epoch {} has begun already", parts.epoch.load());
  const common::MutexLock lock(parts.reserve_mutex);
  Reserve reserve;
  const auto change = [&](WriteTx& tx) -> Result<Seq> {
    TROTH_TRY(const Head head, read_head(tx));
    TROTH_TRY(const auto row, read_volume_row(tx));
    // Whoever committed before may have given more than it could tell us.
    const Seq seq{std::max(head.seq.value, row->reserved_seq.value) + 1};
    reserve.seq = Seq{seq.value + parts.options.reserve_ahead};
    reserve.node = NodeId{row->reserved_node.value + parts.options.reserve_ahead};
    const Operation operations[] = {BeginEpoch{epoch}, reserve};
    TROTH_TRY_VOID(tx.run("UPDATE volume SET follows = 0"));
    TROTH_TRY_VOID(parts.own_commit(tx, seq, epoch, operations));
    parts.next_node.store(row->reserved_node.value + 1);
    return seq;
  };
  TROTH_TRY(const auto done, parts.db->commit(change));
  TROTH_TRY_VOID(parts.sync());
  parts.epoch.store(epoch.value);
  parts.reserved_seq.store(reserve.seq.value);
  parts.reserved_node.store(reserve.node.value);
  parts.committed(done.number, done.value);
  parts.follows.store(false);
  return {};
}

Status Volume::roll_back(Seq seq) {
  Parts& parts = *parts_;
  // Nothing is trimmed from here on.
  const auto upkeep = parts.upkeep.lock();
  if (seq.value < parts.floor.load())
    return fail(ErrorCode::Expired, "commit {} is below the floor {}", seq.value,
                parts.floor.load());
  // Blocks that are on the disk stay indexed, whoever brought them.
  TROTH_TRY_VOID(parts.roots.make_stable());
  // History becomes present: what a round of collecting has seen of either is void.
  parts.begin_collecting();
  const auto undo = [&](WriteTx& tx) -> Result<Seq> {
    TROTH_TRY_VOID(roll_back_rows(tx, seq));
    TROTH_TRY(const Head head, read_head(tx));
    return head.seq;
  };
  TROTH_TRY(const auto undone, parts.db->commit(undo));
  TROTH_TRY_VOID(parts.sync());
  parts.stable_seqs.reset(undone.value);
  parts.last_seq.store(undone.value.value);
  parts.visible.store(std::min(parts.visible.load(), undone.value.value));
  if (parts.follows.load())
    return {};
  // Seqs above were given: they never come back, nor does their epoch.
  return begin_epoch(Epoch{parts.epoch.load() + 1});
}

Result<BlockName> Volume::digest(Seq from) {
  Parts& parts = *parts_;
  return parts.db->read([&](ReadTx& tx) -> Result<BlockName> {
    TROTH_TRY(const auto row, read_volume_row(tx));
    if (from < row->floor)
      return fail(ErrorCode::Expired, "history begins at {}", row->floor.value);
    return digest_rows(tx, from, parts.seal);
  });
}

}  // namespace fileserver::store
