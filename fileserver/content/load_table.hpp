#pragma once

// Dumps that are being loaded in pieces: who sends the next piece goes on with the load that he
// began. What is given up has never been.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/volumes/volume_load.hpp"

namespace fileserver {

struct LoadTableCaps {
  std::size_t loads = 8;
  std::chrono::minutes idle{10};
};

struct LoadAnswer {
  std::string cursor;  // for the next piece; empty: that was all
  std::optional<VolumeLoad::Loaded> loaded;
};

// Safe from any thread. Pieces of one load are taken one at a time, without the lock.
class LoadTable {
 public:
  explicit LoadTable(const common::Clock& clock, LoadTableCaps caps = {})
      : clock_(clock), caps_(caps) {}

  struct Piece {
    std::uint64_t principal = 0;
    std::string cursor;  // empty: the first
    common::ByteView bytes;
    bool end = false;                                                    // the last
    std::function<common::Result<std::unique_ptr<VolumeLoad>>()> begin;  // asked with the first
  };
  // A piece that comes twice is taken once, as long as the next has not come. ResourceExhausted:
  // too many loads are under way; Busy: this one is being taken; Expired: nothing came for so long
  // that it was given up. After any other failure the load is over.
  [[nodiscard]] common::Result<LoadAnswer> next(const Piece& piece) EXCLUDES(mutex_);
  // Gives up all. No call may be under way.
  void clear() EXCLUDES(mutex_);

 private:
  struct Taken {
    std::uint64_t principal = 0;
    std::unique_ptr<VolumeLoad> load;
    std::uint64_t piece = 0;  // that was taken last
    LoadAnswer last;
    bool busy = false;
    common::Instant used{};
  };
  using TakenPtr = std::shared_ptr<Taken>;
  // Gives up what nothing came for, whenever a piece of any load comes.
  void tidy() EXCLUDES(mutex_);
  [[nodiscard]] common::Result<TakenPtr> begin(const Piece& piece, std::string& id)
      EXCLUDES(mutex_);
  [[nodiscard]] common::Result<TakenPtr> find(const Piece& piece, const std::string& id,
                                              std::uint64_t number) EXCLUDES(mutex_);
  [[nodiscard]] static common::Status take(Taken& taken, const Piece& piece, const std::string& id);

  const common::Clock& clock_;
  const LoadTableCaps caps_;
  common::Mutex mutex_;
  std::map<std::string, TakenPtr> taken_ GUARDED_BY(mutex_);
};

}  // namespace fileserver
