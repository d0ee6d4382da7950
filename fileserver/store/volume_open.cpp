// Making, opening, recovering and closing a volume (STORE.md 6).

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/io/unique_fd.hpp"
#include "fileserver/store/meta/key_proof.hpp"
#include "fileserver/store/meta/rollback.hpp"
#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

constexpr std::string_view kSegmentDirectory = "segments";
// A digest of millions of rows is one read; nothing else takes long.
constexpr std::chrono::seconds kLongestRead{60};
// What opening waits for a sync.
constexpr std::chrono::seconds kSyncPatience{120};
// Keeps the inner pages of tables with millions of rows, so that looking something up reads a leaf
// or two and no more.
constexpr int kReaderCacheKib = 6000;
constexpr std::uint64_t kLogPage = 4096;
// Checkpoints more frequent than this would be all that the disk does.
constexpr std::uint64_t kLeastLogPages = 50;

}  // namespace

// --- pieces ---

Status Volume::Parts::open_database() {
  common::db::Options how;
  how.application_id = kVolumeApplicationId;
  how.readers = options.readers;
  how.reader_cache_kib = kReaderCacheKib;
  how.longest_read = kLongestRead;
  how.flush_interval = options.flush_interval;
  how.checkpoint_pages = options.checkpoint_pages;
  how.wal_cap_pages = options.wal_cap_pages;
  // On a small disk the log must fit into what is kept free: removing needs it.
  look_at_room(true);
  const auto fitting = static_cast<int>(
      std::clamp<std::uint64_t>(kept_free() / 4 / kLogPage, kLeastLogPages, INT_MAX / 4));
  if (room_total.load() != 0 && fitting < how.checkpoint_pages) {
    how.checkpoint_pages = fitting;
    how.wal_cap_pages = std::min(how.wal_cap_pages, 3 * fitting);
  }
  how.accept_lost_commits = options.accept_lost_commits;
  how.hold_mark = true;  // until recover() has looked at blocks
  how.probe = options.probe;
  // Until there are segments, no row points to one.
  how.before_sync = [this]() -> Status {
    TROTH_FAILPOINT_TRY("store.sync.before_segments");
    Segments* const files = segments_for_sync.load();
    return files == nullptr ? Status() : files->sync();
  };
  TROTH_TRY(db, common::db::Database::open(metadata_path(directory), std::move(how),
                                           volume_migrations(), clock));
  return {};
}

Status Volume::Parts::open_blocks() {
  if (options.segment_io == nullptr) {
    TROTH_TRY(own_io, common::io::PosixFileIo::open_root(directory));
    options.segment_io = own_io.get();
  }
  if (options.pool == nullptr) {
    own_pool = std::make_unique<WorkPool>(0);
    options.pool = own_pool.get();
  }
  SegmentOptions how;
  how.segment_bytes = options.segment_bytes;
  how.volume = identity.uuid;
  how.key = options.key;
  how.first_number = identity.last_segment + 1;
  how.room = [this] { return room_for_blocks(); };
  TROTH_TRY(segments,
            Segments::open(*options.segment_io, std::string(kSegmentDirectory), how, clock));
  segments_for_sync.store(segments.get());
  known_segments.last = identity.last_segment;
  for (const SegmentInfo& segment : segments->list())
    known_segments.present.insert(segment.number);
  last_segment.store(identity.last_segment);
  BlockStoreOptions store;
  store.compress = options.compress;
  store.fetch_elsewhere = options.fetch_elsewhere;
  blocks = std::make_unique<BlockStore>(*segments, index, *options.pool, std::move(store));
  begin_collecting();
  return {};
}

void Volume::Parts::begin_collecting() {
  collector.reset();  // ends its round first
  CollectorOptions collecting;
  collecting.small_segment = options.segment_bytes / 4;
  collecting.compress = options.compress;
  collector = std::make_unique<Collector>(*segments, *blocks, roots, collecting);
}

Result<Bytes> Volume::Parts::boot_id() const {
  if (options.boot_id)
    return *options.boot_id;
  constexpr const char* kPath = "/proc/sys/kernel/random/boot_id";
  const common::UniqueFd file(::open(kPath, O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    return common::fail_errno(errno, "open {}", kPath);
  std::array<std::byte, 64> text{};  // a UUID and a newline
  const ssize_t length = ::read(file.get(), text.data(), text.size());
  if (length <= 0)
    return common::fail_errno(length < 0 ? errno : EIO, "read {}", kPath);
  return Bytes(text.begin(), text.begin() + length);
}

Status Volume::Parts::own_commit(WriteTx& tx, Seq seq, Epoch as,
                                 std::span<const Operation> operations) {
  TROTH_TRY(const Head before, read_head(tx));
  ExecuteContext context;
  context.seq = seq;
  context.epoch = as;
  context.time = std::max(wall_time(), before.time);
  context.before = before;
  context.seal = &seal;
  TROTH_TRY(const Executed executed, execute(tx, context, operations));
  CommitHeader header;
  header.seq = seq;
  header.epoch = as;
  header.time = context.time;
  return write_commit(tx, header, executed);
}

Status Volume::Parts::make(const Identity& as) {
  TROTH_TRY(const Bytes boot, boot_id());
  std::optional<Bytes> proof;
  if (options.key != nullptr) {
    TROTH_TRY(proof, key_proof(*options.key, as.uuid));
  }
  const auto make_rows = [&](WriteTx& tx) -> Status {
    TROTH_TRY(const auto there, read_volume_row(tx));
    if (there)
      return fail(ErrorCode::AlreadyExists, "there is a volume in {}", directory);
    TROTH_TRY(
        auto row,
        tx.query("INSERT INTO volume(only_row, uuid, id, created, format, epoch, "
                 "reserved_seq, reserved_node, floor, follows, boot, clean, last_segment, sealed) "
                 "VALUES (1, ?, ?, ?, ?, 0, 0, ?, 0, ?, ?, 1, 0, ?)",
                 ByteView(as.uuid), as.id.value, wall_time(), kVolumeFormat, kRootNode.value,
                 as.copy ? 1 : 0, ByteView(boot)));
    if (proof)
      row.bind(8, ByteView(*proof));
    else
      row.bind(8, nullptr);
    TROTH_TRY_VOID(row.run());
    if (as.copy)
      return {};
    Create root;
    root.kind = NodeKind::Directory;
    root.mode = 0755;
    root.node = kRootNode;
    const Operation first[] = {BeginEpoch{Epoch{1}}, root};
    return own_commit(tx, Seq{1}, Epoch{1}, first);
  };
  TROTH_TRY_VOID(db->commit(make_rows));
  return sync();
}

// --- recovery ---

Status Volume::Parts::verify_unsynced() {
  TROTH_TRY(const auto commits, db->read([](ReadTx& tx) { return read_unsynced(tx); }));
  // What was stable stays, whatever has become of its blocks since: somebody may have been told.
  const std::uint64_t was_stable = db->marked_when_opened();
  std::optional<Seq> broken;
  std::vector<std::byte> buffer(kBlockBytes);
  std::unordered_set<std::uint32_t> settled_segments;
  for (const UnsyncedCommit& commit : commits) {
    for (const auto& block : commit.blocks) {
      // Where it is now: it may have been moved since, and what is no longer indexed is not needed.
      TROTH_TRY(const auto place,
                db->read([&](ReadTx& tx) { return read_placement(tx, block.name); }));
      if (!place)
        continue;
      // Who was killed may have left it in the kernel's memory only: it is judged, and counts as
      // stable, by what the disk has. A segment that is gone shows in the read.
      if (settled_segments.insert(place->segment).second) {
        const Status settled = segments->settle_former(place->segment);
        if (!settled && settled.error().code != ErrorCode::NotFound)
          return settled;
      }
      const auto read = segments->read(block.name, block.kind, *place, buffer);
      if (read)
        continue;
      if (!report.power_lost || commit.number <= was_stable) {
        index.found_bad(block.name, *place, read.error());
        ++report.damaged_blocks;
        continue;
      }
      if (!broken)
        broken = commit.seq;
    }
    if (broken)
      break;
  }
  if (!broken)
    return {};
  const Seq last_whole{broken->value - 1};
  const auto undo = [&](WriteTx& tx) -> Result<std::uint64_t> {
    TROTH_TRY(auto count, tx.query("SELECT count(*) FROM commits WHERE seq > ?", last_whole.value));
    TROTH_TRY_VOID(count.step());
    const std::uint64_t lost = count.column_uint64(0);
    TROTH_TRY_VOID(roll_back_rows(tx, last_whole));
    return lost;
  };
  TROTH_TRY(const auto undone, db->commit(undo));
  TROTH_TRY(const Head head, db->read([](ReadTx& tx) { return read_head(tx); }));
  report.rolled_back = undone.value;
  report.rolled_back_to = head.seq;
  return {};
}

Status Volume::Parts::cut_tails() {
  // A segment has a tail only if it was written after the last sync, and syncs are 20 ms apart:
  // only the newest few can. What an older one should have behind its last record costs room and
  // nothing else, for each read is verified.
  const auto all = segments->list();
  constexpr std::size_t kMayHaveTails = 4;
  const std::size_t first = all.size() > kMayHaveTails ? all.size() - kMayHaveTails : 0;
  for (std::size_t i = first; i < all.size(); ++i) {
    if (const auto cut = segments->cut_tail(all[i].number))
      report.cut_bytes += *cut;
  }
  return {};
}

Status Volume::Parts::begin_life() {
  TROTH_TRY(const Bytes boot, boot_id());
  const bool is_copy = identity.follows;
  const auto begin = [&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("UPDATE volume SET clean = 0, boot = ?", ByteView(boot)));
    if (is_copy)
      return {};
    TROTH_TRY(const Head head, read_head(tx));
    TROTH_TRY(const auto now, read_volume_row(tx));
    // After an unclean stop seqs above the head may have been given and lost.
    const Seq seq{report.clean ? head.seq.value + 1
                               : std::max(now->reserved_seq.value, head.seq.value) + 1};
    const Epoch as{report.clean ? now->epoch.value : now->epoch.value + 1};
    std::vector<Operation> operations;
    if (!report.clean)
      operations.emplace_back(BeginEpoch{as});
    operations.emplace_back(Reserve{Seq{seq.value + options.reserve_ahead},
                                    NodeId{now->reserved_node.value + options.reserve_ahead}});
    return own_commit(tx, seq, as, operations);
  };
  TROTH_TRY_VOID(db->commit(begin));
  next_node.store(identity.reserved_node.value + 1);
  return sync();
}

Status Volume::Parts::recover() {
  TROTH_TRY(const Bytes boot, boot_id());
  report.clean = identity.clean;
  report.power_lost = !identity.clean && identity.boot != boot;
  if (!report.clean) {
    TROTH_TRY_VOID(verify_unsynced());
    TROTH_TRY_VOID(cut_tails());
  }
  TROTH_TRY_VOID(begin_life());
  const auto forget = [](WriteTx& tx) { return tx.run("DELETE FROM unsynced"); };
  // They were verified above, and everything is on the disk now.
  TROTH_TRY_VOID(db->commit(forget));
  TROTH_TRY_VOID(sync());
  db->release_mark();
  return {};
}

Status Volume::Parts::load() {
  const auto look = [&](ReadTx& tx) -> Status {
    TROTH_TRY(const Head head, read_head(tx));
    TROTH_TRY(const auto row, read_volume_row(tx));
    epoch.store(row->epoch.value);
    last_seq.store(head.seq.value);
    floor.store(row->floor.value);
    follows.store(row->follows);
    reserved_seq.store(row->reserved_seq.value);
    reserved_node.store(row->reserved_node.value);
    TROTH_TRY(auto pinned, tx.query("SELECT count(*) FROM pin"));
    TROTH_TRY_VOID(pinned.step());
    pins.store(pinned.column_int64(0));
    TROTH_TRY(auto reserved, tx.query("SELECT count(*) FROM reservation"));
    TROTH_TRY_VOID(reserved.step());
    has_reservations.store(reserved.column_int64(0) > 0);
    TROTH_TRY(auto bad, tx.query("SELECT count(*) FROM quarantine"));
    TROTH_TRY_VOID(bad.step());
    any_quarantine.store(bad.column_int64(0) > 0);
    return {};
  };
  TROTH_TRY_VOID(db->read(look));
  // With several copies only the owner knows what a quorum has (R20).
  visible.store(options.hold_visible ? 0 : last_seq.load());
  stable_seqs.reset(Seq{last_seq.load()});
  *retention.lock() = options.retention;
  return {};
}

Status Volume::Parts::sync() {
  return db->sync(clock.now() + kSyncPatience);
}

Status Volume::Parts::close() {
  TROTH_TRY_VOID(sync());
  TROTH_TRY_VOID(segments->close_active());
  const auto note = [](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("DELETE FROM unsynced"));
    return tx.run("UPDATE volume SET clean = 1");
  };
  TROTH_TRY_VOID(db->commit(note));
  return db->close();
}

// --- the calls ---

namespace {

Result<std::unique_ptr<Volume>> finish_open(std::unique_ptr<Volume::Parts> parts) {
  Volume::Parts& p = *parts;
  const auto look = [](ReadTx& tx) { return read_volume_row(tx); };
  TROTH_TRY(auto row, p.db->read(look));
  if (!row)
    return fail(ErrorCode::NotFound, "there is no volume in {}", p.directory);
  p.identity = *std::move(row);
  if (p.identity.format > kVolumeFormat)
    return fail(ErrorCode::Unsupported,
                "the volume in {} has format {}; this program knows up to {}", p.directory,
                p.identity.format, kVolumeFormat);
  if (const Status fits = check_key(p.identity.sealed, p.options.key, p.identity.uuid); !fits)
    return tl::unexpected(fits.error().in(p.directory));
  if (p.options.key != nullptr) {
    TROTH_TRY(p.seal, TailSeal::create(*p.options.key));
  }
  TROTH_TRY_VOID(p.open_blocks());
  TROTH_TRY_VOID(p.recover());
  TROTH_TRY_VOID(p.load());
  return std::make_unique<Volume>(std::move(parts));
}

Result<std::unique_ptr<Volume>> make_volume(const std::string& directory,
                                            const Volume::Parts::Identity& identity,
                                            VolumeOptions options, const common::Clock& clock) {
  auto parts = std::make_unique<Volume::Parts>(directory, std::move(options), clock);
  TROTH_TRY_VOID(parts->open_database());
  TROTH_TRY_VOID(parts->make(identity));
  return finish_open(std::move(parts));
}

}  // namespace

Result<std::unique_ptr<Volume>> Volume::create(const std::string& directory, common::VolumeId id,
                                               VolumeOptions options, const common::Clock& clock) {
  Parts::Identity identity;
  identity.id = id;
  TROTH_TRY_VOID(common::crypto::random_bytes(identity.uuid));
  return make_volume(directory, identity, std::move(options), clock);
}

Result<std::unique_ptr<Volume>> Volume::create_copy(const std::string& directory,
                                                    common::VolumeId id, const VolumeUuid& uuid,
                                                    VolumeOptions options,
                                                    const common::Clock& clock) {
  return make_volume(directory, {id, uuid, true}, std::move(options), clock);
}

Result<std::unique_ptr<Volume>> Volume::open(const std::string& directory, VolumeOptions options,
                                             const common::Clock& clock) {
  TROTH_TRY_VOID(must_be_there(directory));
  auto parts = std::make_unique<Parts>(directory, std::move(options), clock);
  TROTH_TRY_VOID(parts->open_database());
  return finish_open(std::move(parts));
}

Volume::Volume(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Volume::~Volume() = default;

Status Volume::close() {
  return parts_->close();
}

}  // namespace fileserver::store
