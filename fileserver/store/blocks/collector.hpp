#pragma once

// Gives space back: marks what is reachable, condemns and deletes index rows of the rest, compacts
// segments (STORE.md 7). Works a step at a time, so that its owner decides when and how fast; knows
// roots and index rows only through CollectorHost.
//
// Why nothing that is needed goes (I10). Whoever refers to a block has it from a retained row or
// from an upload. The rows that were retained when a round began, and the versions that have
// replaced them since, are visited by the marking: no history is trimmed meanwhile. What uploads
// held when it began or have pinned since, the block store does not let be condemned, also after
// they have gone. A commit checks that what it took over without a pin comes from a retained row.
// And a segment goes only when a look at the whole index has found no row that names it, after
// everything that moved or deleted such rows is stable.

#include "fileserver/store/blocks/block_store.hpp"

namespace fileserver::store {

struct Root {
  BlockName name;
  std::uint64_t tree_size = 0;
};
struct IndexRow {
  BlockName name;
  Placement placement;
};

// What the collector asks of the metadata; each change is one committed transaction.
class CollectorHost {
 public:
  virtual ~CollectorHost() = default;
  // The next roots of retained rows, present ones first, then history; empty: that was all.
  // `cursor` begins empty and is the host's to fill. While a round runs no history is trimmed.
  [[nodiscard]] virtual Result<std::vector<Root>> next_roots(std::string& cursor) = 0;
  // Index rows in order of name after `after`.
  [[nodiscard]] virtual Result<std::vector<IndexRow>> index_after(const BlockName& after,
                                                                  std::size_t limit) = 0;
  // Deletes each row that is still at that placement.
  [[nodiscard]] virtual Status delete_rows(std::span<const IndexRow> rows) = 0;
  // Moves each row that is still at `from`; the new records are synced.
  struct Move {
    BlockName name;
    Placement from;
    Placement to;
  };
  [[nodiscard]] virtual Status move_rows(std::span<const Move> moves) = 0;
  // Everything committed so far is stable, and recovery will look at no older placement.
  [[nodiscard]] virtual Status make_stable() = 0;
};

struct CollectorOptions {
  double compact_below = 0.5;  // live part of a closed segment
  // Closed ones below are merged, several at a time; well below the size of a full one.
  std::uint64_t small_segment = 64 << 20;
  std::size_t rows_per_step = 200;  // of a deleting transaction: callers wait for it
  std::uint64_t bytes_per_step = 4 << 20;
  bool compress = true;  // what is moved
};

struct CollectorCounters {
  std::uint64_t rounds = 0;  // finished
  std::uint64_t marked = 0;  // in the last round that got so far
  std::uint64_t deleted_rows = 0;
  std::uint64_t moved = 0;       // records
  std::uint64_t unreadable = 0;  // records that could not be moved: their segments stay
  std::uint64_t removed_segments = 0;
  std::uint64_t freed_bytes = 0;  // of segments that went, less what was moved out of them
};

// One thread at a time.
class Collector {
 public:
  Collector(Segments& segments, BlockStore& blocks, CollectorHost& host, CollectorOptions options);
  ~Collector();

  // Does a bounded piece of work, beginning a round if there is none; true while the round is not
  // finished. After a failure the round begins anew with the next call; a crash at any point leaves
  // garbage at most. A list that cannot be read ends the round before anything is condemned: what
  // it lists is not known, and must not be lost with it.
  [[nodiscard]] Result<bool> step();
  // Gives the round up, if there is one. Must be called when history becomes present again (a
  // rollback): the marking would not see it.
  void abandon();
  [[nodiscard]] bool in_round() const;
  [[nodiscard]] CollectorCounters counters() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fileserver::store
