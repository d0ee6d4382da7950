#pragma once

// Gives space back: marks what is reachable, condemns and deletes index rows of the rest, compacts
// segments (STORE.md 7). Works a step at a time, so that its owner decides when and how fast; knows
// roots and index rows only through CollectorHost.

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
  // Everything committed so far is stable.
  [[nodiscard]] virtual Status make_stable() = 0;
};

struct CollectorOptions {
  double compact_below = 0.5;              // live part of a closed segment
  std::uint64_t small_segment = 64 << 20;  // closed ones below are merged, too
  std::size_t rows_per_step = 200;         // of a deleting transaction: callers wait for it
  std::uint64_t bytes_per_step = 4 << 20;
};

struct CollectorCounters {
  std::uint64_t rounds = 0;
  std::uint64_t marked = 0;
  std::uint64_t deleted_rows = 0;
  std::uint64_t moved = 0;
  std::uint64_t removed_segments = 0;
  std::uint64_t freed_bytes = 0;
};

// One thread at a time.
class Collector {
 public:
  Collector(Segments& segments, BlockStore& blocks, CollectorHost& host, CollectorOptions options);
  ~Collector();

  // Does a bounded piece of work; true while the round is not finished. After a failure the round
  // begins anew with the next call; a crash at any point leaves garbage at most.
  [[nodiscard]] Result<bool> step();
  [[nodiscard]] bool in_round() const;
  [[nodiscard]] CollectorCounters counters() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fileserver::store
