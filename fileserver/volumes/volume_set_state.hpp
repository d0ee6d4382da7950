#pragma once

// What a VolumeSet is made of. Internal to volume_*.cpp.

#include <map>
#include <thread>
#include <unordered_map>

#include "common/sync/mutex.hpp"
#include "fileserver/store/blocks/work_pool.hpp"
#include "fileserver/volumes/volume_files.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

// A volume that the registry names.
struct VolumeSlot {
  VolumeEntryPtr entry;
  VolumeState state = VolumeState::Closed;
  std::string why;
  common::Instant retry_at{};        // after a failure
  std::shared_ptr<OpenVolume> open;  // exactly while state is Open
  bool used = false;                 // since the thread looked last
  common::Instant last_used{};       // as the thread saw it
  std::size_t waiting = 0;           // threads that wait for its opening
  bool administered = false;         // somebody is changing its place or policy, or deleting it
  bool deleting = false;             // nobody gets it any more
  bool maintained = false;           // the thread has it for a moment
  bool loading = false;              // a dump comes: maintenance rests
  // Its disk failed while it was open: it is given to nobody until it has been opened anew.
  bool withdrawn = false;
  common::Instant withdraw_until{};  // then who has it may use it again, and it is tried later
  // What somebody may have seen of it, if it was closed after its disk had failed.
  struct Seen {
    store::Seq seq;
    store::Epoch epoch;
  };
  std::optional<Seen> seen;
  bool lost = false;                     // not all of that is there: not in this life
  std::uint64_t generation = 1;          // of access: where the next opening begins
  std::vector<common::SessionId> ended;  // to be told to it
  common::Instant maintain_at{};         // of open ones: when the thread shall do a piece
  common::Instant scrub_at{};
};

struct VolumeSet::State {
  State(VolumeSetOptions how, const common::Clock& c) : options(std::move(how)), clock(c) {}

  const VolumeSetOptions options;
  const common::Clock& clock;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<VolumeFiles> files;
  std::unique_ptr<store::WorkPool> pool;

  common::Mutex mutex;
  common::CondVar changed;  // a slot has settled, or the thread shall look
  // Slots stay where they are until they are erased, which whoever deletes does with nobody
  // waiting.
  std::unordered_map<VolumeId, VolumeSlot> slots GUARDED_BY(mutex);
  std::map<std::string, VolumeId, std::less<>> names GUARDED_BY(mutex);
  std::function<bool(common::SessionId)> lives GUARDED_BY(mutex);
  std::function<void(VolumeId)> recovered GUARDED_BY(mutex);
  std::size_t open_count GUARDED_BY(mutex) = 0;  // open, opening and closing
  bool stopping GUARDED_BY(mutex) = false;
  std::thread thread;

  // --- volume_set.cpp ---
  [[nodiscard]] Status load() EXCLUDES(mutex);
  [[nodiscard]] Status clean_up(const std::vector<Registry::VolumeRow>& rows);
  [[nodiscard]] store::VolumeOptions volume_options(const OpenVolume& open) const;
  [[nodiscard]] Result<std::shared_ptr<OpenVolume>> open_volume(const VolumeEntry& entry,
                                                                std::uint64_t generation) const;
  [[nodiscard]] Result<VolumeRef> use(VolumeId id, common::Instant deadline) EXCLUDES(mutex);
  // Opens it in this thread, or waits for who does; the lock is given up meanwhile.
  [[nodiscard]] Result<VolumeRef> open_here(VolumeId id, common::Instant deadline) REQUIRES(mutex);
  void open_slot(VolumeSlot& slot) REQUIRES(mutex);
  // Whether a volume that was closed after its disk had failed is as it was seen last.
  [[nodiscard]] static Status goes_on(store::Volume& volume, const VolumeSlot::Seen& seen);
  // Closes those that have been idle longest until there is room for one more; false: all that are
  // open are in use by others than our own thread, which is waited for until the deadline. The lock
  // is given up meanwhile.
  [[nodiscard]] bool make_room(common::Instant deadline) REQUIRES(mutex);
  // Of an idle open volume; the lock is given up meanwhile.
  void close_slot(VolumeSlot& slot) REQUIRES(mutex);
  [[nodiscard]] static bool is_idle(const VolumeSlot& slot);
  static void end_strangers(store::Volume& volume,
                            const std::function<bool(common::SessionId)>& live);

  // --- volume_admin.cpp ---
  [[nodiscard]] Result<VolumeEntryPtr> change_entry(
      VolumeId id, const std::function<Status(VolumeEntry&)>& change) EXCLUDES(mutex);
  // The registry has this entry's name, policy and place.
  [[nodiscard]] bool says(const VolumeEntry& entry) const;
  [[nodiscard]] Result<VolumeId> reserve_id(const Creation& wanted) EXCLUDES(mutex);
  [[nodiscard]] Result<std::shared_ptr<OpenVolume>> make_volume(VolumeEntry& entry,
                                                                const Creation& wanted);
  // The end of making one: it is there for everybody, or has never been.
  VolumeEntryPtr is_made(const VolumeEntry& entry, std::shared_ptr<OpenVolume> open)
      EXCLUDES(mutex);
  void give_up_making(VolumeId id) EXCLUDES(mutex);
  void forget(VolumeId id) REQUIRES(mutex);

  // --- volume_upkeep.cpp ---
  void thread_main() EXCLUDES(mutex);
  void close_what_is_idle() REQUIRES(mutex);
  void tell_ended_sessions() REQUIRES(mutex);
  void maintenance_over(VolumeId id) REQUIRES(mutex);
  // Of those whose disk has failed.
  void get_back() REQUIRES(mutex);
  // A piece of maintenance of a volume that is due, and of scrubbing; until when to rest.
  [[nodiscard]] common::Instant maintain_one() REQUIRES(mutex);
};

}  // namespace fileserver
