#pragma once

// Dumps that are being drawn in pieces: who asks for the next piece goes on with the one that he
// began.

#include <map>
#include <memory>
#include <string>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/dump/dumper.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

struct DumpTableCaps {
  std::size_t dumps = 16;  // each holds the history of its volume
  std::chrono::minutes idle{10};
  std::uint64_t piece_bytes = 8 << 20;
};

struct DumpPiece {
  common::Bytes bytes;
  std::string cursor;  // for the next; empty: that was all
};

// Safe from any thread. Pieces of one dump are made one at a time, without the lock.
class DumpTable {
 public:
  explicit DumpTable(const common::Clock& clock, DumpTableCaps caps = {})
      : clock_(clock), caps_(caps) {}

  // The first piece, if `cursor` is empty; else the one that it names, which may be asked for again
  // as long as the next has not been. ResourceExhausted: too many dumps are under way; Busy: this
  // one is being made elsewhere; Expired: nobody asked for so long that it was given up.
  struct Wanted {
    VolumeRef volume;
    std::uint64_t principal = 0;
    dump::DumpOptions options;
    std::string cursor;
  };
  [[nodiscard]] common::Result<DumpPiece> next(const Wanted& wanted) EXCLUDES(mutex_);
  // Gives up what nobody asked for for long. Asked now and then.
  void tidy() EXCLUDES(mutex_);
  // Lets all volumes go. No call may be under way.
  void clear() EXCLUDES(mutex_);

 private:
  struct Drawn {
    VolumeRef volume;
    common::VolumeId id;  // when the volume has been let go, too
    std::uint64_t principal = 0;
    std::unique_ptr<dump::Dumper> dumper;
    std::uint64_t piece = 0;  // number of `last`
    DumpPiece last;
    common::Bytes left_over;  // of a record that did not fit
    bool busy = false;
    common::Instant used{};
  };
  [[nodiscard]] common::Result<std::shared_ptr<Drawn>> begin(const Wanted& wanted, std::string& id)
      EXCLUDES(mutex_);
  [[nodiscard]] common::Status fill(Drawn& drawn, const std::string& id) const;
  void forget_idle() REQUIRES(mutex_);

  const common::Clock& clock_;
  const DumpTableCaps caps_;
  common::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Drawn>> drawn_ GUARDED_BY(mutex_);
};

}  // namespace fileserver
