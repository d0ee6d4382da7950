#pragma once

// Undoing commits, and comparing what is left.

#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

using common::db::WriteTx;

// Every row becomes what it was at `seq`, which is at or above the floor. Reads all tables. The
// caller sees to seqs and epochs.
[[nodiscard]] Status roll_back_rows(WriteTx& tx, Seq seq);

// SHA-256 over all rows that commits determine, history that ended after `from` (STORE.md 4). Tails
// go in as stored, so copies of a sealed volume differ there: they are opened first.
[[nodiscard]] Result<BlockName> digest_rows(ReadTx& tx, Seq from, const TailSeal& seal);

}  // namespace fileserver::store
