#pragma once

// A volume: one numbered sequence of commits. What the file service, replication and tools call.
// STORE.md is the contract of the whole; this header that of each call.

#include <functional>
#include <memory>
#include <span>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "common/db/database.hpp"
#include "common/db/function_ref.hpp"
#include "fileserver/store/blocks/collector.hpp"
#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/meta/execute.hpp"
#include "fileserver/store/meta/image.hpp"
#include "fileserver/store/meta/operation.hpp"
#include "fileserver/store/meta/reads.hpp"
#include "fileserver/store/meta/record.hpp"

namespace fileserver::store {

struct VolumeOptions {
  const common::crypto::Secret* key = nullptr;  // of a sealed volume; must outlive it
  WorkPool* pool = nullptr;                     // shared by volumes; null: callers hash alone
  bool compress = true;
  // Commits become visible only by set_visible() (replicated volumes), after opening nothing is;
  // else at once.
  bool hold_visible = false;
  // Often, so that little is left for the first sync of a checkpoint: who commits meanwhile waits.
  std::chrono::milliseconds flush_interval{20};
  std::uint32_t segment_bytes = 256 << 20;
  // A commit is forgotten when it is older than this and not among the last so many.
  struct Retention {
    std::chrono::seconds keep_for{7 * 24 * 3600};
    std::uint64_t keep_commits = 10'000;
  };
  Retention retention;
  std::size_t max_pins = 100'000;  // of all sessions
  std::function<Result<Bytes>(const BlockName&, BlockKind)> fetch_elsewhere;
  // Free and total bytes of the disk; default: what statvfs says.
  struct Room {
    std::uint64_t free = 0;
    std::uint64_t total = 0;
  };
  std::function<Result<Room>()> room;
  std::size_t readers = 8;           // reads of the database at once
  bool accept_lost_commits = false;  // for recovery tools, see common/db

  // For tests.
  std::optional<Bytes> boot_id;           // default: the kernel's
  std::uint64_t reserve_ahead = 131'072;  // seqs and node ids
  // See common/db. At 4,000 pages the syncs of checkpoints take a third of the commits a second,
  // and p99 is three times as long; 16,000 take 26 ms to recover.
  int checkpoint_pages = 16'000;
  int wal_cap_pages = 48'000;
  common::db::DiskProbe* probe = nullptr;    // the database's disk
  common::io::FileIo* segment_io = nullptr;  // where segments/ is; default: the directory
};

// What opening found and did.
struct OpenReport {
  bool clean = true;                  // it had been closed in order
  bool power_lost = false;            // the machine has been started anew since
  std::optional<Seq> rolled_back_to;  // commits above were not on the disk
  std::uint64_t rolled_back = 0;      // how many
  std::uint64_t damaged_blocks = 0;   // of commits that stay; put into quarantine
  std::uint64_t cut_bytes = 0;        // after the last whole records of segments
};

struct Caller {
  std::uint64_t principal = 0;
  SessionId session;
};

// A node that is held from the commit on that makes it, so that no upkeep comes between.
struct Hold {
  NodeId node;
  bool pin = false;  // at this commit's seq, for the caller's session: as Volume::pin
  // As Volume::keep.
  std::optional<MountId> keeper;
  std::int64_t until = 0;
};

struct CommitRequest {
  Caller caller;
  std::optional<OperationKey> key;  // makes it exactly-once
  std::vector<Condition> conditions;
  std::vector<Operation> operations;
  std::vector<Hold> holds;   // of nodes that operations make; not of a retry. ResourceExhausted
  Upload* upload = nullptr;  // of the contents that operations name
  // Growth is taken from the session's reservation first (R8).
  bool draw_reservation = false;
  // Called in the transaction after the conditions, with the state that the operations will find: a
  // failure is returned and nothing happens. Must not block or use this volume, functions of
  // meta/reads.hpp apart. May be called more than once. Not for a retry, which changes nothing.
  std::function<Status(ReadTx&)> check_present;
  // Likewise after the operations, with all nodes that they touch, those that go included (R17): a
  // failure undoes everything and is returned.
  std::function<Status(std::span<const NodeOutcome>)> check_touched;
  std::optional<common::Instant> deadline;
};

struct CommitReply {
  Seq seq;
  Epoch epoch;
  std::int64_t time = 0;  // of the commit
  Seq stable;             // as of now
  bool replayed = false;  // answered from the record: it had been executed before
  // All touched; of a replayed one: those that its operations name, as they were then, if they were
  // there.
  std::vector<NodeOutcome> nodes;
  // By operation, 0: none. write(), append() and copy_range() put the content's before the
  // caller's.
  std::vector<NodeId> created;
  // Of a replayed one: what was executed then.
  std::vector<Operation> operations;
  std::uint64_t number = 0;  // for wait_stable()
};

struct Usage {
  std::uint64_t nodes = 0;
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> quota_nodes;
  std::optional<std::uint64_t> quota_bytes;
  std::uint64_t reserved_nodes = 0;
  std::uint64_t reserved_bytes = 0;
  std::uint64_t disk_free = 0;  // that growing may still use
  std::uint64_t disk_total = 0;
};

struct SpaceReport {
  std::uint64_t logical = 0;      // what files say they hold
  std::uint64_t unique = 0;       // stored payloads of indexed blocks
  std::uint64_t segments = 0;     // bytes of all segment files
  std::uint64_t reclaimable = 0;  // of those, in no indexed record
};

struct VolumeStatus {
  Seq seq;
  Seq stable;
  Seq visible;
  Seq floor;
  Epoch epoch;
  common::db::DatabaseStatus database;
  CollectorCounters collector;
  std::uint64_t quarantined = 0;
};

// Safe from any thread. Calls block on the disk; none holds a lock while another waits. Of its own
// it has the two threads of its database; maintenance is the owner's to drive (maintain()).
class Volume {
 public:
  // Makes an empty volume in `directory`, which must exist and be empty or hold one whose making
  // was interrupted; stable when it returns. The root belongs to 0:0 with mode 0755.
  [[nodiscard]] static Result<std::unique_ptr<Volume>> create(const std::string& directory,
                                                              common::VolumeId id,
                                                              VolumeOptions options,
                                                              const common::Clock& clock);
  // Makes a copy of the volume with this uuid, without a commit: the records of the other, redone
  // from its first, make everything. It follows until begin_epoch().
  [[nodiscard]] static Result<std::unique_ptr<Volume>> create_copy(const std::string& directory,
                                                                   common::VolumeId id,
                                                                   const VolumeUuid& uuid,
                                                                   VolumeOptions options,
                                                                   const common::Clock& clock);
  // Opens and recovers (STORE.md 6). Busy: somebody has it; Unsupported: a newer format; Corrupt:
  // damaged; InvalidArgument: another kind, or the wrong key.
  [[nodiscard]] static Result<std::unique_ptr<Volume>> open(const std::string& directory,
                                                            VolumeOptions options,
                                                            const common::Clock& clock);
  // Without close() it stops as if killed: nothing committed is lost, the next opening recovers.
  ~Volume();
  // What is behind this header; internal to the store.
  struct Parts;
  explicit Volume(std::unique_ptr<Parts> parts);
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  [[nodiscard]] common::VolumeId id() const;
  [[nodiscard]] const VolumeUuid& uuid() const;
  [[nodiscard]] const OpenReport& report() const;

  // --- changes ---
  // One commit, all or nothing. Committed when it returns. Besides what each operation may fail
  // with: Conflict, Stale (conditions), PermissionDenied (another's key), Expired (a forgotten
  // key), ResourceExhausted (quota), NoSpace, DeadlineExceeded, Overloaded, IoError or Corrupt
  // (poisoned), OutcomeUnknown. Unavailable with "blocks are gone": blocks of the upload that were
  // believed to be there have been collected; put them again (BlockStore::forget_reused).
  [[nodiscard]] Result<CommitReply> commit(const CommitRequest& request);

  // The answer to an operation that was executed before; nullopt: its key is new, or there is none.
  // Fails as commit() does with a key that is somebody else's or forgotten.
  [[nodiscard]] Result<std::optional<CommitReply>> replay(const CommitRequest& request);

  // The usual changes of content, cutting and hashing in the caller's thread, again if the base has
  // moved: the last to commit wins, unless `base` says which version must be the current one.
  struct WriteRequest {
    CommitRequest commit;  // its operations come after the content, in the same commit
    NodeId node;
    std::optional<Seq> base;  // data version, else Conflict
    std::span<const Edit> edits;
    std::optional<std::uint64_t> size;  // default: as long as old content and edits reach
    bool replace = false;               // edits are the whole content
  };
  [[nodiscard]] Result<CommitReply> write(const WriteRequest& request);
  [[nodiscard]] Result<CommitReply> append(CommitRequest request, NodeId node, ByteView bytes);
  // [from_offset, +length) of `from` at a seq over `to` at to_offset.
  struct CopyRequest {
    CommitRequest commit;
    NodeId from;
    At at;
    std::uint64_t from_offset = 0;
    std::uint64_t length = 0;
    NodeId to;
    std::uint64_t to_offset = 0;
  };
  [[nodiscard]] Result<CommitReply> copy_range(const CopyRequest& request);

  // For contents that are made piece by piece: uploads, and the functions of content_tree.hpp.
  [[nodiscard]] BlockStore& blocks();

  // A range of `count` ids that nobody else will get (R29), stable.
  [[nodiscard]] Result<NodeId> grant_node_ids(std::uint64_t count);

  // Survives a power loss when it returns.
  [[nodiscard]] Status wait_stable(const CommitReply& reply, common::Instant deadline);
  [[nodiscard]] Status sync(common::Instant deadline);

  // --- reads: at a seq that is retained, or (nullopt) at the visible one ---
  // NotFound: no such node or name then. Expired: that seq is not retained.
  [[nodiscard]] Result<Attributes> attributes(NodeId node, At at = {});
  // Many in one moment, in the order asked; nullopt: not there.
  [[nodiscard]] Result<std::vector<std::optional<Attributes>>> attributes_of(
      std::span<const NodeId> nodes, At at = {});
  struct Found {
    Attributes attributes;
    Attributes parent;  // of the same moment
  };
  [[nodiscard]] Result<Found> lookup(NodeId parent, std::string_view name, At at = {});
  // Entries after `after`, in byte order of names.
  [[nodiscard]] Result<std::vector<EntryAttributes>> list(NodeId directory, std::string_view after,
                                                          std::size_t limit, At at = {});
  [[nodiscard]] Result<std::vector<Entry>> list_names(NodeId directory, std::string_view after,
                                                      std::size_t limit, At at = {});
  [[nodiscard]] Result<Content> content(NodeId node, At at = {});
  // Bytes of a content; of a node as it is. `Content` stays readable while its version is retained.
  [[nodiscard]] Result<std::size_t> read(const Content& content, std::uint64_t offset,
                                         std::span<std::byte> into);
  struct ReadReply {
    std::size_t length = 0;
    Attributes attributes;
  };
  [[nodiscard]] Result<ReadReply> read(NodeId node, std::uint64_t offset, std::span<std::byte> into,
                                       At at = {});
  [[nodiscard]] Result<std::string> read_link(NodeId node, At at = {});
  // nullopt: the node has no such attribute.
  [[nodiscard]] Result<std::optional<Bytes>> xattr(NodeId node, std::string_view name, At at = {});
  [[nodiscard]] Result<std::vector<std::string>> xattr_names(NodeId node, At at = {});
  [[nodiscard]] Result<std::optional<Bytes>> setting(std::string_view key, At at = {});
  [[nodiscard]] Result<std::vector<NodeVersion>> history(NodeId node, std::size_t limit);
  [[nodiscard]] Result<std::vector<Snapshot>> snapshots();
  // The newest seq that is not younger than this (a snapshot in all but name); Expired: not
  // retained.
  [[nodiscard]] Result<Seq> seq_at(std::int64_t time);
  [[nodiscard]] Result<Usage> usage();

  // Several questions of one moment, by the functions of meta/reads.hpp with the `At` given. As
  // with those, whatever is kept beyond the call must be copied.
  [[nodiscard]] Status view(common::db::FunctionRef<Status(ReadTx&, At)> look, At at = {});
  // What view() shows now, as common::db::Database::read_state(): what was read under a number
  // stands while it is still the answer. 0: that is about to change, or this volume holds back.
  [[nodiscard]] std::uint64_t read_state() const;
  // Of that moment, or of a check inside a transaction.
  [[nodiscard]] Result<Content> content(ReadTx& tx, NodeId node, At at);
  [[nodiscard]] Result<std::string> read_link(ReadTx& tx, NodeId node, At at);

  // --- sequence ---
  [[nodiscard]] Seq last_seq() const;
  [[nodiscard]] Seq stable_seq() const;
  [[nodiscard]] Seq visible_seq() const;
  [[nodiscard]] Epoch epoch() const;
  // Only with hold_visible: reads and answers go up to here from now on. Never backwards.
  [[nodiscard]] Status set_visible(Seq seq);
  // Records after `after`, oldest first, at or below visible unless this volume holds back.
  // Expired: that is below the floor.
  [[nodiscard]] Result<std::vector<CommitRecord>> changes_since(Seq after, std::size_t limit);
  // Redoes a record of another copy. Conflict: it does not follow the last seq; Stale: an older
  // epoch; Unavailable: blocks are missing (missing_blocks tells which).
  [[nodiscard]] Status redo(const CommitRecord& record, Upload* upload);
  // From now on this copy redoes records and commits nothing of its own; stable.
  [[nodiscard]] Status follow();
  [[nodiscard]] bool follows() const;
  // This copy commits from now on, in this epoch, which must be above the last; stable.
  [[nodiscard]] Status begin_epoch(Epoch epoch);
  // Undoes all commits above `seq`; stable. Nothing else may be under way (STORE.md 6).
  [[nodiscard]] Status roll_back(Seq seq);
  // SHA-256 over what is determined by the commits (STORE.md 4), history from `from` on. Conflict
  // if something was committed meanwhile.
  [[nodiscard]] Result<BlockName> digest(Seq from);

  // --- whole copies (fileserver/dump) ---
  [[nodiscard]] bool is_sealed() const;
  // While anybody holds it nothing more of history is forgotten. May outlive the volume.
  using HistoryHold = std::shared_ptr<const void>;
  [[nodiscard]] Result<HistoryHold> hold_history();
  // Of the newest visible commit at or below `seq`; and rows as they were at it (image.hpp).
  [[nodiscard]] Result<ImageHead> image_head(Seq seq);
  [[nodiscard]] Result<ImagePage> image_page(Seq seq, ImageScope scope, const ImageCursor& after);
  // Index rows in order of name, what nothing refers to included.
  [[nodiscard]] Result<std::vector<IndexRow>> indexed_blocks(const BlockName& after,
                                                             std::size_t limit);
  // Fill a copy that has no commit yet and that nobody else uses: rows and blocks in any order and
  // as often as they come, then finish_image(), which makes all stable. Half of it is no volume.
  [[nodiscard]] Status load_image(ImageTable table, std::span<const ByteView> rows);
  [[nodiscard]] Status load_blocks(const Upload& upload);
  [[nodiscard]] Status finish_image(const ImageHead& head);

  // --- sessions ---
  [[nodiscard]] Status pin(SessionId session, NodeId node, Seq version);
  [[nodiscard]] Status unpin(SessionId session, NodeId node, Seq version);
  struct Pinned {
    NodeId node;
    Seq version;
    std::uint64_t count = 0;  // so many pin() without unpin()
  };
  [[nodiscard]] Result<std::vector<Pinned>> pinned(SessionId session);
  // The session's new totals, not what is added. ResourceExhausted, NoSpace.
  [[nodiscard]] Status reserve(SessionId session, std::uint64_t nodes, std::uint64_t bytes);
  // What it has and has not used yet.
  struct Reservation {
    std::uint64_t nodes = 0;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Result<Reservation> reservation(SessionId session);
  // Of all sessions that have any; ascending.
  [[nodiscard]] Result<std::vector<std::pair<SessionId, Reservation>>> reservations();
  // Frees what it holds; upkeep ends orphans that nobody holds any more.
  [[nodiscard]] Status end_session(SessionId session);
  // Those that hold anything: after a restart the owner ends those that do not come back.
  [[nodiscard]] Result<std::vector<SessionId>> sessions();
  // A node without a name stays until then whatever becomes of sessions (staged uploads); a time in
  // the past lets it go. Until then the quota counts none of its bytes: they are on their way
  // to be a file's.
  [[nodiscard]] Status keep(const MountId& mount, NodeId node, std::int64_t until);
  // All that are kept.
  struct Kept {
    MountId mount;
    NodeId node;
    std::int64_t until = 0;
    std::uint64_t allocated = 0;
    std::uint32_t uid = 0;
  };
  [[nodiscard]] Result<std::vector<Kept>> kept();

  // --- upkeep ---
  void set_retention(VolumeOptions::Retention retention);
  // A bounded piece of trimming, collecting or scrubbing; true if there is more to do now.
  [[nodiscard]] Result<bool> maintain();
  // Verifies up to `bytes` of indexed blocks, going on where it ended; true at the end of a round.
  [[nodiscard]] Result<bool> scrub(std::uint64_t bytes);
  [[nodiscard]] Result<SpaceReport> space();
  [[nodiscard]] Result<VolumeStatus> status();
  [[nodiscard]] Status health() const;

  // Makes everything stable and notes the clean stop. No other call may be under way or follow.
  [[nodiscard]] Status close();

 private:
  const std::unique_ptr<Parts> parts_;
};

}  // namespace fileserver::store
