#pragma once

// Who is in which groups: walks over the membership table inside a transaction.

#include <optional>
#include <vector>

#include "common/db/transaction.hpp"
#include "kdc/types.hpp"

namespace kdc {

// Groups on the longest way from a principal up. Enough for any organisation, and bounds each walk.
inline constexpr std::uint32_t kMostNesting = 16;
// Groups that one principal may be in, all told.
inline constexpr std::size_t kMostClosure = 4096;
// Of these, such as users made: anybody may put anybody into his own, and must not use up the room
// for the cell's. The cell's groups are those called system: and those named after administrators.
inline constexpr std::size_t kMostOfUsers = 512;
// People below a group that is put into one which a user made, and memberships above them, so that
// each one's groups can be counted.
inline constexpr std::size_t kMostCounted = 10'000;
inline constexpr std::size_t kMostEdges = 200'000;
// Beyond so many affected principals a change is noted as "anybody's".
inline constexpr std::size_t kMostAffected = 10'000;
// Members that one group lists itself.
inline constexpr std::uint64_t kMostMembers = 100'000;

// All groups that `member` (a principal or group) is in, directly or through others, ascending; if
// they are more than `most`, first the cell's and then the lowest. `anyuser` and `authuser` are
// nobody's row and not among them.
common::Result<std::vector<Id>> closure_of(common::db::ReadTx& tx, Id member,
                                           std::size_t most = kMostClosure);

common::Result<bool> is_within(common::db::ReadTx& tx, Id member, Id group);

// Principals (not groups) below `member`, itself included; nothing if they are over kMostAffected.
common::Result<std::optional<std::vector<Id>>> principals_below(common::db::ReadTx& tx, Id member);

// Whether `member` may be put into `group`: no cycle (Deadlock is not meant: Conflict), nesting and
// number of groups within bounds (ResourceExhausted): of the cell's those of `member` itself, since
// only administrators make them; of those that users made the groups of everybody below it, too.
common::Status check_nesting(common::db::ReadTx& tx, Id member, Id group);

// Raises the directory's version and notes that what `member` and all below it are in has changed.
common::Status note_directory_change(common::db::WriteTx& tx, Id member);

// Rights, as of this transaction. A disabled principal has none.
common::Result<bool> is_enabled(common::db::ReadTx& tx, Id principal);
common::Result<bool> is_administrator(common::db::ReadTx& tx, Id principal);
// Its owner, a member of the group that owns it, or an administrator.
common::Result<bool> manages_group(common::db::ReadTx& tx, Id principal, Id group);
// Enabled users in system:administrators.
common::Result<std::uint64_t> count_administrators(common::db::ReadTx& tx);

}  // namespace kdc
