#pragma once

// Travelling proofs against one table on the disk, while the processes that use it are killed.

#include <atomic>
#include <cstdint>
#include <string>

#include "common/clock.hpp"
#include "common/ticket/credential.hpp"
#include "common/ticket/keytab.hpp"
#include "common/ticket/replay_cache.hpp"

namespace soak_kdc {

struct StormTally {
  std::uint64_t proofs = 0;   // made and offered
  std::uint64_t replays = 0;  // offered again after they had been accepted
  std::uint64_t accepted_again = 0;
  std::uint64_t lost = 0;  // never accepted though nobody was killed in between
  std::uint64_t kills = 0;
};

// Until `stop` or `deadline`: makes proofs, lets children of this program offer each of them again
// and again, kills these, starts others on the same table. Blocks. `self` is this program.
StormTally storm(const std::string& self, const std::string& directory,
                 const common::ticket::Credential& credential, const common::ticket::Keytab& keytab,
                 std::uint64_t seed, common::Instant deadline, const std::atomic<bool>& stop);

// A table that has stood for a while: a new one refuses what was made before it and shortly after.
void make_old_table(const common::ticket::ReplayCache::Options& options);

// The child: `soak_kdc --storm DIRECTORY ROUNDS`.
int storm_child(const std::string& directory, int rounds);

}  // namespace soak_kdc
