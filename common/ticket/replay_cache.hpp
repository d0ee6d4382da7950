#pragma once

// Which proofs have been accepted, so that none is accepted twice: a table in a file that all
// threads of a service share, of fixed size, that survives the service's restart and kill -9.
//
// Nothing is ever forgotten silently. When an entry's place is needed again (ten minutes after its
// proof was made, when it could no longer be accepted anyway), the time of that proof becomes the
// table's *floor*: nothing made up to the floor is accepted ever again, whatever the clock says by
// then. The file holds its pages through a crash of the process but not of the machine: it names
// the boot it was written in, and after another boot everything made before then, and up to
// kMaxSkew after, is refused. A second mark, the *horizon*, is on the disk before any proof made up
// to it is accepted, so this holds too when the clock is behind after the boot.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/bytes.hpp"
#include "common/io/boot_id.hpp"
#include "common/io/lock_file.hpp"
#include "common/result.hpp"
#include "common/sync/mutex.hpp"
#include "common/sync/striped.hpp"
#include "common/ticket/time.hpp"

namespace common::ticket {

// The first bytes of an accepted proof's MAC.
using ReplayTag = std::array<std::byte, 16>;

// How long after its making a proof is remembered: as long as it could be accepted, twice over.
inline constexpr std::chrono::minutes kReplayKeep{10};
// 437 proofs a second for kReplayKeep, in 6 MiB. A service that expects more asks for more.
inline constexpr std::size_t kReplayCapacity = std::size_t{1} << 18;

// 384 MiB: whoever wants more has mistaken the unit.
inline constexpr std::size_t kMaxReplayCapacity = std::size_t{1} << 24;

class ReplayCache {
 public:
  using BootId = io::BootId;

  struct Options {
    std::string path;
    std::size_t capacity = kReplayCapacity;  // rounded up to what the layout needs
  };

  // What was found when the file was opened; for the log.
  enum class Found : std::uint8_t {
    Kept,      // of this boot: what it held is held
    Missing,   // no file: made; proofs from before now are refused
    Rebooted,  // of another boot: emptied, and proofs from before now are refused
    Damaged,   // not a table of ours, or of another size: replaced, as if rebooted
  };

  // Opens or makes the table (0600; a file of somebody else, a link, or one that others may write
  // is PermissionDenied). Busy if another process has it. Reserves its whole size on the disk:
  // NoSpace comes here and never later.
  static Result<std::unique_ptr<ReplayCache>> open(const Options& options, Time now);
  // The same in another boot, for tests.
  static Result<std::unique_ptr<ReplayCache>> open(const Options& options, Time now,
                                                   const BootId& boot);
  ~ReplayCache();
  ReplayCache(const ReplayCache&) = delete;
  ReplayCache& operator=(const ReplayCache&) = delete;

  // Succeeds exactly once for a tag. Unauthenticated (the sentence of refused()) if it was
  // remembered before or may have been; Overloaded if there is no place. Safe from any thread.
  // Writes to the disk, and waits for it, when `made` passes the horizon: about once a minute.
  Status remember(const ReplayTag& tag, Time made, Time now);

  [[nodiscard]] Found found() const { return found_; }
  // Entries in use. Takes each lock in turn; for metrics.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t capacity() const { return buckets_ * kBucketSlots; }
  // Nothing made up to here is accepted.
  [[nodiscard]] Time floor() const;

 private:
  struct Header;
  struct Slot;
  struct Stripe {
    Mutex mutex;
  };
  // A tag may lie in one of two buckets, whichever is emptier: both would have to be full before
  // the table is, which is when it is nearly full as a whole.
  static constexpr std::size_t kBucketSlots = 16;
  static constexpr std::size_t kStripes = 64;

  ReplayCache(io::LockFile lock, void* mapping, std::size_t buckets, Found found);

  // Empty, refusing what was made before now.
  Status start_again(Time now, const BootId& boot);
  [[nodiscard]] std::span<Slot> bucket(std::size_t index) const;
  // Under the lock of the stripe that both buckets belong to.
  Status remember_in(std::span<Slot> one, std::span<Slot> other, const ReplayTag& tag,
                     std::uint64_t made, std::uint64_t now);
  Status extend_horizon(std::uint64_t made, std::uint64_t now) EXCLUDES(horizon_mutex_);
  void raise_floor(std::uint64_t to);

  const io::LockFile lock_;
  void* const mapping_;
  Header* const header_;
  const std::size_t buckets_;
  const Found found_;
  mutable Striped<Stripe> stripes_;
  Mutex horizon_mutex_;
  std::atomic<std::uint64_t> horizon_{0};  // the header's, once it is on the disk
};

}  // namespace common::ticket
