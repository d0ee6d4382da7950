#pragma once

// Makes a dump of a volume that goes on working meanwhile: a stream of bytes, drawn record by
// record at the pace of whoever takes them.

#include <deque>
#include <unordered_set>

#include "fileserver/dump/format.hpp"
#include "fileserver/dump/tree_diff.hpp"
#include "fileserver/store/blocks/mark_filter.hpp"
#include "fileserver/store/volume.hpp"

namespace fileserver::dump {

struct DumpOptions {
  What what = What::History;
  Seq from;                     // of Commits: where the copy stands
  std::optional<Seq> to;        // default: the newest that is visible
  const Secret* key = nullptr;  // seals the dump; needed where the volume is sealed
  Bytes resume;                 // a position that a loader gave: goes on there
  std::uint64_t position_every = std::uint64_t{64} << 20;  // bytes
};

// SHA-256 over everything that can be compared of the volume as it was at `seq`. Of Present: equal
// for two copies whatever each has forgotten. Of History: for copies with the same floor. Reads
// all rows, some hundred a transaction. Expired, Stale: that seq is not retained.
[[nodiscard]] Result<store::BlockName> image_digest(store::Volume& volume, Seq seq,
                                                    store::ImageScope scope);

// One thread. While it lives the volume forgets no history. Memory: a page of rows, a block or a
// commit, and 64 MiB at most for the names of a large volume's blocks.
class Dumper {
 public:
  // `volume` must outlive it. Expired: history does not reach back to there. InvalidArgument: the
  // volume is sealed and there is no key, or the position is of another dump.
  [[nodiscard]] static Result<std::unique_ptr<Dumper>> begin(store::Volume& volume,
                                                             DumpOptions options,
                                                             const common::Clock& clock);

  // The next record; empty: that was all. Valid until the next call. After a failure the dump
  // cannot be gone on with; a loader has what it has, and its position. Corrupt: a block cannot be
  // read; Stale: the volume was rolled back below the seq that is being dumped.
  [[nodiscard]] Result<ByteView> next();

  [[nodiscard]] Seq from() const { return options_.from; }
  [[nodiscard]] Seq to() const { return head_.seq; }
  [[nodiscard]] const Totals& totals() const { return totals_; }

 private:
  Dumper(store::Volume& volume, DumpOptions options)
      : volume_(volume), options_(std::move(options)) {}

  enum class Stage : std::uint8_t { Rows, Blocks, Commits, End, Done };
  [[nodiscard]] Status start(const common::Clock& clock);
  [[nodiscard]] Status take_up();
  [[nodiscard]] Status step();
  [[nodiscard]] Status step_rows();
  [[nodiscard]] Status mark_all();
  [[nodiscard]] Status mark(const store::Root& root);
  [[nodiscard]] Status step_blocks();
  [[nodiscard]] Status send_block(const store::BlockName& name,
                                  std::optional<store::BlockKind> kind);
  [[nodiscard]] Status step_commits();
  [[nodiscard]] Status begin_operation(const store::CommitRecord& record);
  [[nodiscard]] Status step_end();
  [[nodiscard]] Status add(RecordType type, ByteView payload);
  [[nodiscard]] Status maybe_position(bool now);
  [[nodiscard]] bool sent_lately(const store::BlockName& name);
  [[nodiscard]] store::ImageScope scope() const;

  store::Volume& volume_;
  DumpOptions options_;
  store::Volume::HistoryHold hold_;
  store::ImageHead head_;
  std::optional<RecordWriter> writer_;
  Stage stage_ = Stage::Rows;
  Position position_;
  bool resumed_ = false;
  std::uint64_t positioned_ = 0;  // bytes when the last position was sent
  Totals totals_;
  std::optional<common::crypto::Sha256> image_;  // of the rows, unless it is a part of a dump

  std::deque<Bytes> ready_;
  Bytes given_;

  // Blocks that are needed, and lists that have been looked through.
  std::optional<store::MarkFilter> needed_;
  std::unordered_set<store::BlockName> seen_;
  std::unordered_set<store::BlockName> seen_before_;
  std::vector<store::IndexRow> page_;  // in order of place
  std::size_t page_at_ = 0;
  store::BlockName page_last_;
  Bytes scratch_;

  std::deque<store::CommitRecord> commits_;
  std::size_t operation_ = 0;
  std::optional<TreeDiff> diff_;
};

}  // namespace fileserver::dump
