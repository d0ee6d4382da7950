#pragma once

// Replaces the master key while the KDC serves. Each step leaves a state that opens:
//
//   1. a new key is added to the stash file        (the database does not know of it yet)
//   2. the database names it as the one that seals what is written from now on
//   3. every row under an older one is sealed anew, kRowsAtOnce in a transaction
//   4. no row names the old one: the database forgets it
//   5. that is on the disk: the stash file forgets it, too
//
// After a crash, housekeeping goes on where it stood.

#include <string>

#include "common/sync/mutex.hpp"
#include "kdc/core.hpp"

namespace kdc {

inline constexpr std::size_t kRowsAtOnce = 256;

class MasterRollover {
 public:
  MasterRollover(Core& core, std::string stash) : core_(core), stash_(std::move(stash)) {}

  // Steps 1 and 2, for an administrator. Conflict while another is under way.
  [[nodiscard]] common::Result<std::uint32_t> begin(const Actor& actor);
  // The next step, if one is due. True: more is left to do.
  [[nodiscard]] common::Result<bool> step();
  // All of it.
  [[nodiscard]] common::Status run(const Actor& actor);

  struct Progress {
    std::uint32_t version = 0;    // seals what is written now
    std::uint64_t rows_left = 0;  // under older ones
    bool under_way = false;
  };
  [[nodiscard]] common::Result<Progress> progress();

 private:
  [[nodiscard]] common::Status adopt(std::uint32_t version, const Actor& actor);
  [[nodiscard]] common::Result<bool> seal_some_anew();
  [[nodiscard]] common::Result<bool> forget_old();

  Core& core_;
  const std::string stash_;
  common::Mutex mutex_;  // one step at a time; taken before anything else
};

// When the database is opened: every master key that rows may name is in the stash and is the right
// one. Corrupt or NotFound with one clear line.
common::Status check_master_keys(common::db::ReadTx& tx, const MasterKeys& keys,
                                 const std::string& stash);
common::Status register_master(common::db::WriteTx& tx, const MasterKeys& keys,
                               std::uint32_t version);

}  // namespace kdc
