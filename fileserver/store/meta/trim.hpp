#pragma once

// Forgetting the past (STORE.md 7): what ended at or below the floor, and no snapshot or pin shows.

#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

using common::db::WriteTx;

// Where a round of trimming is: it visits each history table from its first key to its last.
struct TrimState {
  Seq floor;
  std::size_t table = 0;
  Bytes after;  // the key that was visited last; empty: none
};

// The floor that a volume may have now: nothing younger than `oldest_time` and none of the last
// `keep_commits` commits is below it. Never below the present floor.
[[nodiscard]] Result<Seq> floor_for(ReadTx& tx, Seq present, std::int64_t oldest_time,
                                    std::uint64_t keep_commits);
[[nodiscard]] Status set_floor(WriteTx& tx, Seq floor);

// Visits the next `limit` rows; true while there are more. One step is one transaction.
[[nodiscard]] Result<bool> trim_step(WriteTx& tx, TrimState& state, std::size_t limit);

}  // namespace fileserver::store
