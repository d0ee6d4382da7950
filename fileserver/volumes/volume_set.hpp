#pragma once

// All volumes of this server: which there are, which are open, and their upkeep. One bad volume is
// listed as unavailable with its reason and keeps nothing else from being served.
//
// A volume whose disk fails while it is open is read, and not written, until the disk takes a file
// again. Then it is closed as soon as nobody uses it, and opened anew, which verifies (STORE.md 6).
// If all that anybody has seen of it is there, it is served again; if not, what mounts were
// promised may be wrong, and only the next life of this server, in which they trust nothing, serves
// it.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "fileserver/store/volume.hpp"
#include "fileserver/volumes/access_generation.hpp"
#include "fileserver/volumes/node_memory.hpp"
#include "fileserver/volumes/registry.hpp"
#include "fileserver/volumes/volume_entry.hpp"

namespace fileserver {

namespace dump {
struct Begin;
}
class VolumeLoad;

// A volume while it is open; shared by all calls that use it.
struct OpenVolume {
  explicit OpenVolume(std::uint64_t generation_from) : generation(generation_from) {}

  common::crypto::Secret key;  // of a sealed one; the volume looks at it for as long as it lives
  std::unique_ptr<store::Volume> volume;
  AccessGeneration generation;
};

// Keeps a volume open and gives it to a call. Cheap to copy. Not to be kept beyond a call or a
// background job: a volume is closed only when none is left.
class VolumeRef {
 public:
  VolumeRef() = default;
  VolumeRef(std::shared_ptr<OpenVolume> open, VolumeEntryPtr entry)
      : open_(std::move(open)), entry_(std::move(entry)) {}

  [[nodiscard]] store::Volume& operator*() const { return *open_->volume; }
  [[nodiscard]] store::Volume* operator->() const { return open_->volume.get(); }
  [[nodiscard]] VolumeId id() const { return entry_->id; }
  // As it was when the call began.
  [[nodiscard]] const VolumeEntry& entry() const { return *entry_; }
  // Of a sealed volume; nullptr: it is not sealed.
  [[nodiscard]] const common::crypto::Secret* key() const {
    return open_->key.empty() ? nullptr : &open_->key;
  }
  [[nodiscard]] AccessGeneration& generation() const { return open_->generation; }
  [[nodiscard]] explicit operator bool() const { return open_ != nullptr; }

 private:
  std::shared_ptr<OpenVolume> open_;
  VolumeEntryPtr entry_;
};

struct VolumeSetOptions {
  std::string directory;      // of the server: holds volumes/ID and the registry
  std::string key_directory;  // of sealed volumes' keys; empty: DIRECTORY/volume-keys
  // Each open volume has two threads and some 20 descriptors.
  std::size_t open_volumes = 256;
  std::chrono::seconds idle{600};
  // After a failure to open, how long nobody tries again; also between attempts to get a volume
  // back whose disk failed while it was open.
  std::chrono::seconds retry{10};
  // What scrubbing may read; 0: it rests. At 8 MiB/s a terabyte takes a day and a half.
  std::uint64_t scrub_bytes_per_second = 8 << 20;
  store::VolumeOptions::Retention retention;
  // A sign of life of the thread.
  std::function<void()> beat;
  // For tests: the last word on how a volume is opened.
  std::function<void(store::VolumeOptions&)> adjust;
};

enum class VolumeState : std::uint8_t { Closed, Opening, Open, Closing, Unavailable };

// For lists, status and metrics.
struct VolumeReport {
  VolumeEntryPtr entry;
  VolumeState state = VolumeState::Closed;
  std::string why;  // it is unavailable
};

// Safe from any thread. One thread of its own, "volumes": closing, maintenance, scrubbing.
class VolumeSet {
 public:
  // Opens the registry, and finishes what a former life had begun: a volume whose making or
  // deleting was interrupted is gone afterwards. Opens no volume.
  [[nodiscard]] static common::Result<std::unique_ptr<VolumeSet>> open(VolumeSetOptions options,
                                                                       const common::Clock& clock);
  ~VolumeSet();
  VolumeSet(const VolumeSet&) = delete;
  VolumeSet& operator=(const VolumeSet&) = delete;

  // --- use ---
  // The volume, opened if need be: this thread may do that, or wait for who does, until `deadline`.
  // NotFound: there is none; Unavailable: it cannot be opened (with the reason), or not in time.
  [[nodiscard]] common::Result<VolumeRef> use(VolumeId id, common::Instant deadline);
  // nullptr: there is none.
  [[nodiscard]] VolumeEntryPtr entry(VolumeId id) const;
  [[nodiscard]] VolumeEntryPtr find(std::string_view name) const;
  [[nodiscard]] std::vector<VolumeReport> list() const;

  // What is known of nodes of volumes that are open.
  [[nodiscard]] NodeMemory& nodes() { return nodes_; }

  // --- administration; each is stable when it returns ---
  struct Creation {
    std::string name;
    bool sealed = false;
    bool root = false;  // the first volume of a server that is made as root of the cell's tree
    VolumePolicy policy;
    std::optional<std::uint64_t> quota_bytes;
    std::optional<std::uint64_t> quota_nodes;
    // Of the volume's root directory.
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t mode = 0755;
  };
  // AlreadyExists: the name is taken. Whatever kills the process, afterwards the volume is there
  // whole, or not at all.
  [[nodiscard]] common::Result<VolumeEntryPtr> create(const Creation& wanted);
  // Busy: others are attached in it, or it is attached. Calls that use it get their answers first,
  // until `deadline`: Busy then.
  [[nodiscard]] common::Status remove(VolumeId id, common::Instant deadline);
  // A volume of that name out of a whole dump, of which `begin` tells; one that is to follow takes
  // further dumps and is nobody's to use until then. InvalidArgument: the dump is sealed with a key
  // that is not here.
  [[nodiscard]] common::Result<std::unique_ptr<VolumeLoad>> load_new(const std::string& name,
                                                                     const dump::Begin& begin,
                                                                     bool serve);
  // Dumps of commits onto a copy that follows; one at a time. With `serve` it goes its own way when
  // the dump has been loaded. Conflict: the volume does not follow.
  [[nodiscard]] common::Result<std::unique_ptr<VolumeLoad>> load_onto(VolumeRef copy, bool serve,
                                                                      common::Instant deadline);
  [[nodiscard]] common::Result<VolumeEntryPtr> set_policy(VolumeId id, const VolumePolicy& policy);
  [[nodiscard]] common::Result<VolumeEntryPtr> rename(VolumeId id, const std::string& name);
  // Lays a volume on a directory, which the caller has looked at. Conflict: that would close a
  // circle; Busy: something lies there already, or it lies elsewhere.
  [[nodiscard]] common::Status attach(VolumeId id, Fid at);
  // The directory where it lay.
  [[nodiscard]] common::Result<Fid> detach(VolumeId id);

  // --- sessions, for who keeps them ---
  [[nodiscard]] Registry& registry();
  // Whether a session lives: what others hold is freed when a volume is opened. Before it is set
  // all do. Must not block nor call this object.
  void set_liveness(std::function<bool(common::SessionId)> lives);
  // Told of each volume whose disk had failed when it has been opened again and is as it was seen
  // last, before anybody has it. Must not block nor call this object.
  void set_recovered(std::function<void(VolumeId)> recovered);
  // Frees what a session holds, in all volumes: those that are open now or soon, the others when
  // they are opened. Only queues.
  void end_session(common::SessionId session);

  // Closes all volumes in order, and notes it. No call may be under way or follow.
  void close(common::Instant deadline);

 private:
  struct State;
  class NewLoad;
  class OntoLoad;
  explicit VolumeSet(std::unique_ptr<State> state);
  void take_off(VolumeId id, Fid at);

  const std::unique_ptr<State> state_;
  NodeMemory nodes_;
};

}  // namespace fileserver
