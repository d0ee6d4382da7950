#pragma once

// What a Volume is made of. Internal to the store: volume_*.cpp, a family of calls each.

#include <atomic>
#include <deque>
#include <unordered_set>

#include "common/sync/locked.hpp"
#include "fileserver/store/meta/commit_rows.hpp"
#include "fileserver/store/meta/database.hpp"
#include "fileserver/store/meta/trim.hpp"
#include "fileserver/store/volume.hpp"

namespace fileserver::store {

// Which database transaction holds which seq, so that the stable number tells the stable seq. Safe
// from any thread.
class StableSeqs {
 public:
  void note(std::uint64_t number, Seq seq);
  // The newest seq known to be in a transaction up to `stable`.
  [[nodiscard]] Seq up_to(std::uint64_t stable);
  // Everything up to here is stable, whatever was noted (after opening, or a rollback).
  void reset(Seq seq);

 private:
  // Beyond it the oldest are merged, and the answer is late, never early: flushes that far behind
  // mean a disk in trouble.
  static constexpr std::size_t kMost = 8192;
  struct State {
    std::deque<std::pair<std::uint64_t, std::uint64_t>> waiting;  // number, newest seq; ascending
    std::uint64_t seq = 0;
  };
  common::Locked<State> state_;
};

// The volume's table of blocks, for BlockStore.
class VolumeIndex final : public BlockIndex {
 public:
  explicit VolumeIndex(Volume::Parts& parts) : parts_(parts) {}
  [[nodiscard]] Result<std::vector<std::optional<Placement>>> find(
      std::span<const BlockName> names) override;
  void found_bad(const BlockName& name, const Placement& placement,
                 const common::Error& why) override;

 private:
  Volume::Parts& parts_;
};

// The volume's tables, for Collector.
class VolumeRoots final : public CollectorHost {
 public:
  explicit VolumeRoots(Volume::Parts& parts) : parts_(parts) {}
  [[nodiscard]] Result<std::vector<Root>> next_roots(std::string& cursor) override;
  [[nodiscard]] Result<std::vector<IndexRow>> index_after(const BlockName& after,
                                                          std::size_t limit) override;
  [[nodiscard]] Status delete_rows(std::span<const IndexRow> rows) override;
  [[nodiscard]] Status move_rows(std::span<const Move> moves) override;
  [[nodiscard]] Status make_stable() override;

 private:
  Volume::Parts& parts_;
};

struct Volume::Parts {
  Parts(std::string where, VolumeOptions how, const common::Clock& c)
      : directory(std::move(where)),
        options(std::move(how)),
        clock(c),
        index(*this),
        roots(*this) {}

  // --- opening and closing (volume_open.cpp) ---
  [[nodiscard]] Status open_database();
  [[nodiscard]] Status open_blocks();
  // From here on a round of collecting begins with nothing marked.
  void begin_collecting();
  struct Identity {
    common::VolumeId id;
    VolumeUuid uuid{};
    bool copy = false;
  };
  // Makes the volume's row, and its first commit unless it is a copy; nothing if they are there.
  [[nodiscard]] Status make(const Identity& identity);
  // STORE.md 6, up to and including the first commit of this life.
  [[nodiscard]] Status recover();
  [[nodiscard]] Status verify_unsynced();
  [[nodiscard]] Status cut_tails();
  [[nodiscard]] Status begin_life();
  [[nodiscard]] Status load();
  [[nodiscard]] Result<Bytes> boot_id() const;
  [[nodiscard]] Status close();

  // --- changes (volume_commit.cpp) ---
  [[nodiscard]] Result<CommitReply> commit(const CommitRequest& request);
  // In the transaction; sets `out_of_reserve` when it fails because seqs or ids have run out.
  [[nodiscard]] Result<CommitReply> commit_in(WriteTx& tx, const CommitRequest& request,
                                              bool& out_of_reserve);
  [[nodiscard]] Result<std::optional<CommitReply>> replay_in(ReadTx& tx,
                                                             const CommitRequest& request);
  [[nodiscard]] Status take_holds(WriteTx& tx, const CommitRequest& request, Seq seq) const;
  [[nodiscard]] Status check_quota(WriteTx& tx, const CommitRequest& request, const Head& before,
                                   const Executed& executed);
  [[nodiscard]] Status check_room() const;
  [[nodiscard]] std::uint64_t kept_free() const;  // of the disk, for whatever frees more
  // Refuses a total above the setting of this name, if there is one.
  [[nodiscard]] static Status check_limit(ReadTx& tx, std::string_view setting,
                                          std::uint64_t total);
  void look_at_room(bool at_once = false);
  // What new blocks may take of the disk. Looks at it.
  [[nodiscard]] std::uint64_t room_for_blocks();
  [[nodiscard]] MayMove may_move() const {
    return [this](const BlockName& name, const Placement& old) {
      return blocks->is_condemned(name) || is_lost(old.segment);
    };
  }
  // Enters an upload's blocks into the index.
  [[nodiscard]] Status enter_blocks(WriteTx& tx, Seq seq, const Upload& upload);
  // Notes in the transaction that segments up to this one hold blocks.
  [[nodiscard]] Status note_segment(WriteTx& tx, std::uint32_t segment);
  // Makes seqs and node ids available ahead, stable, if half of them are used up.
  [[nodiscard]] Status reserve_ahead(bool needed) EXCLUDES(reserve_mutex);
  [[nodiscard]] Status reserve_more_locked() REQUIRES(reserve_mutex);
  [[nodiscard]] Result<NodeId> take_node_ids(std::uint64_t count);
  void committed(std::uint64_t number, Seq seq);
  // The blocks of an upload are in the index since this transaction.
  void entered(std::uint64_t number, const Upload& upload);
  [[nodiscard]] std::int64_t wall_time() const;
  [[nodiscard]] Seq stable_seq();
  // A commit of the store itself: `operations` at `seq`, in `epoch`.
  [[nodiscard]] Status own_commit(WriteTx& tx, Seq seq, Epoch as,
                                  std::span<const Operation> operations);
  [[nodiscard]] Status sync();

  // --- reads ---
  // The seq to look at for `node` (0: none in particular): checks that it is visible and retained.
  [[nodiscard]] Result<At> resolve(ReadTx& tx, At at, NodeId node) const;

  const std::string directory;
  VolumeOptions options;
  const common::Clock& clock;
  OpenReport report;

  VolumeIndex index;
  VolumeRoots roots;
  TailSeal seal;
  std::unique_ptr<common::io::FileIo> own_io;
  std::unique_ptr<WorkPool> own_pool;
  VolumeRow identity;  // as it was when opened

  // Below, destroyed in this order from the last: the collector uses blocks, the database's threads
  // sync segments.
  // Which segments there were when the volume was opened, up to the last that had blocks.
  struct KnownSegments {
    std::uint32_t last = 0;
    std::unordered_set<std::uint32_t> present;
  };
  KnownSegments known_segments;
  // It held blocks once, and its file is gone: what the index says of it is void.
  [[nodiscard]] bool is_lost(std::uint32_t segment) const {
    return segment <= known_segments.last && !known_segments.present.contains(segment);
  }
  std::atomic<std::uint32_t> last_segment{0};         // as committed
  std::atomic<Segments*> segments_for_sync{nullptr};  // there from the moment they are open
  std::unique_ptr<Segments> segments;
  std::unique_ptr<BlockStore> blocks;
  std::unique_ptr<common::db::Database> db;
  std::unique_ptr<Collector> collector;

  std::atomic<std::uint64_t> epoch{0};
  std::atomic<std::uint64_t> last_seq{0};
  std::atomic<std::uint64_t> visible{0};
  std::atomic<std::uint64_t> floor{0};
  std::atomic<bool> follows{false};
  // What is stable in `volume`; ids in use are below.
  std::atomic<std::uint64_t> reserved_seq{0};
  std::atomic<std::uint64_t> reserved_node{0};
  std::atomic<std::uint64_t> next_node{0};
  common::Mutex reserve_mutex;  // one thread reserves; nobody commits under it but the reserver
  StableSeqs stable_seqs;

  // Lists of `unsynced` that may go once this number is stable; 0: none.
  std::atomic<std::uint64_t> newest_unsynced{0};
  std::atomic<std::uint64_t> forgotten_unsynced{0};
  std::atomic<std::int64_t> pins{0};
  std::atomic<bool> has_reservations{false};

  // What the disk was seen to have, looked at again every so often.
  std::atomic<std::uint64_t> room_free{UINT64_MAX};
  std::atomic<std::uint64_t> room_total{0};
  std::atomic<common::Instant::rep> room_seen{0};

  // --- upkeep: one thread at a time, which may wait for the disk under this lock ---
  struct Upkeep {
    TrimState trim;
    bool trimming = false;
    bool collect = false;  // something was trimmed: collect now
    common::Instant next_round{};
    BlockName scrubbed;  // the last block that was verified
  };
  common::Locked<Upkeep> upkeep;
  [[nodiscard]] Status scrub_row(const IndexRow& row, std::span<std::byte> buffer);
  [[nodiscard]] Result<bool> reap_orphans();
  [[nodiscard]] Result<bool> trim(Upkeep& work);
  common::Locked<VolumeOptions::Retention> retention;
  std::atomic<bool> any_quarantine{false};
  // Copies of it keep trimming from beginning (hold_history).
  const std::shared_ptr<const void> history_hold = std::make_shared<char>();
};

}  // namespace fileserver::store
