// Making, deleting and placing volumes.

#include <algorithm>

#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/log/log.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/volumes/volume_set_state.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Instant;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kFirstSyncPatience{30};
// How often somebody who waits for the last user of a volume looks.
constexpr std::chrono::milliseconds kLookAgain{10};
// So long may our own thread keep the volume that is to make room for another one.
constexpr std::chrono::seconds kRoomPatience{2};
// Of 16 million ids: should the first few be taken, something else is wrong.
constexpr int kMostDraws = 100;
// A cell's tree is not deeper in volumes than this; a longer way up is a circle.
constexpr int kMostAttached = 1'000;

Status check_policy(const VolumePolicy& policy) {
  for (const auto* principals : {&policy.trusted_hosts, &policy.administrators}) {
    if (principals->size() > kMaxPolicyPrincipals)
      return fail(ErrorCode::TooLarge, "a volume's policy names at most {} principals of a kind",
                  kMaxPolicyPrincipals);
    if (!std::is_sorted(principals->begin(), principals->end()))
      return fail(ErrorCode::InvalidArgument, "the principals of a policy are in order");
  }
  return {};
}

store::CommitRequest first_commit(const VolumeSet::Creation& wanted) {
  store::CommitRequest request;
  store::SetAttributes root;
  root.node = store::kRootNode;
  root.mode = wanted.mode;
  root.uid = wanted.uid;
  root.gid = wanted.gid;
  request.operations.emplace_back(root);
  const auto quota = [&](std::string_view key, std::optional<std::uint64_t> value) {
    if (!value)
      return;
    request.operations.emplace_back(
        store::SetSetting{std::string(key), common::wire::BinaryWriter().u64(*value).take()});
  };
  quota(store::kQuotaBytes, wanted.quota_bytes);
  quota(store::kQuotaNodes, wanted.quota_nodes);
  return request;
}

}  // namespace

// --- making ---

Result<VolumeId> VolumeSet::State::reserve_id(const Creation& wanted) {
  const common::MutexLock lock(mutex);
  // First, for the lock is given up meanwhile.
  if (!make_room(clock.now() + kRoomPatience))
    return fail(ErrorCode::Overloaded, "all volumes that this server may have open are in use");
  if (names.contains(wanted.name))
    return fail(ErrorCode::AlreadyExists, "there is a volume \"{}\" already", wanted.name);
  if (wanted.root && std::any_of(slots.begin(), slots.end(),
                                 [](const auto& entry) { return entry.second.entry->is_root; }))
    return fail(ErrorCode::AlreadyExists, "the cell has a root volume already");
  for (int draw = 0; draw < kMostDraws; ++draw) {
    TROTH_TRY(const std::uint64_t random, common::crypto::random_u64());
    const VolumeId id{static_cast<std::uint32_t>(random % kHighestVolume) + 1};
    if (slots.contains(id))
      continue;
    VolumeSlot& slot = slots[id];
    slot.state = VolumeState::Opening;
    slot.deleting = true;  // nobody has it yet
    auto entry = std::make_shared<VolumeEntry>();
    entry->id = id;
    entry->name = wanted.name;
    entry->is_root = wanted.root;
    entry->sealed = wanted.sealed;
    entry->policy = wanted.policy;
    slot.entry = std::move(entry);
    names[wanted.name] = id;
    ++open_count;
    return id;
  }
  return fail(ErrorCode::ResourceExhausted, "no volume id is free");
}

Result<std::shared_ptr<OpenVolume>> VolumeSet::State::make_volume(VolumeEntry& entry,
                                                                  const Creation& wanted) {
  TROTH_TRY_VOID(registry->add_volume(entry));
  TROTH_FAILPOINT_TRY("volumes.create.after_row");
  TROTH_TRY_VOID(files->make_directory(entry.id));
  TROTH_FAILPOINT_TRY("volumes.create.after_directory");
  auto open = std::make_shared<OpenVolume>(1);
  if (entry.sealed) {
    TROTH_TRY(open->key, files->make_key(entry.id));
  }
  TROTH_TRY(open->volume, store::Volume::create(files->path_of(entry.id), entry.id,
                                                volume_options(*open), clock));
  TROTH_FAILPOINT_TRY("volumes.create.after_volume");
  TROTH_TRY(const auto first, open->volume->commit(first_commit(wanted)));
  TROTH_TRY_VOID(open->volume->wait_stable(first, clock.now() + kFirstSyncPatience));
  entry.uuid = open->volume->uuid();
  TROTH_TRY_VOID(registry->update_volume(entry));
  TROTH_FAILPOINT_TRY("volumes.create.before_there");
  TROTH_TRY_VOID(registry->set_stage(entry.id, Registry::Stage::There));
  return open;
}

void VolumeSet::State::forget(VolumeId id) {
  const auto found = slots.find(id);
  names.erase(found->second.entry->name);
  slots.erase(found);
  changed.notify_all();
}

VolumeEntryPtr VolumeSet::State::is_made(const VolumeEntry& entry,
                                         std::shared_ptr<OpenVolume> open) {
  const common::MutexLock lock(mutex);
  VolumeSlot& slot = slots.find(entry.id)->second;
  slot.entry = std::make_shared<VolumeEntry>(entry);
  slot.open = std::move(open);
  slot.state = VolumeState::Open;
  slot.deleting = false;
  slot.last_used = clock.now();
  changed.notify_all();
  return slot.entry;
}

void VolumeSet::State::give_up_making(VolumeId id) {
  // What cannot be cleaned up now is at the next start.
  if (const Status gone = files->remove(id); !gone)
    common::log::warn("what is left of a volume that could not be made stays for now",
                      {{"volume", id.value}, {"why", gone.error().message}});
  else
    static_cast<void>(registry->set_stage(id, Registry::Stage::Gone));
  const common::MutexLock lock(mutex);
  --open_count;
  forget(id);
}

Result<VolumeEntryPtr> VolumeSet::create(const Creation& wanted) {
  State& state = *state_;
  TROTH_TRY_VOID(check_volume_name(wanted.name));
  TROTH_TRY_VOID(check_policy(wanted.policy));
  TROTH_TRY(const VolumeId id, state.reserve_id(wanted));
  VolumeEntry entry;
  entry.id = id;
  entry.name = wanted.name;
  entry.is_root = wanted.root;
  entry.sealed = wanted.sealed;
  entry.policy = wanted.policy;
  auto made = state.make_volume(entry, wanted);
  if (!made) {
    state.give_up_making(id);
    return tl::unexpected(made.error());
  }
  return state.is_made(entry, *std::move(made));
}

// --- deleting ---

Status VolumeSet::remove(VolumeId id, Instant deadline) {
  State& state = *state_;
  {
    const common::MutexLock lock(state.mutex);
    const auto found = state.slots.find(id);
    if (found == state.slots.end() || found->second.deleting)
      return fail(ErrorCode::NotFound, "there is no volume {}", id.value);
    VolumeSlot& slot = found->second;
    if (slot.administered)
      return fail(ErrorCode::Busy, "somebody else is changing volume \"{}\"", slot.entry->name);
    if (!slot.entry->attachments.empty())
      return fail(ErrorCode::Busy, "other volumes are attached in \"{}\": detach them first",
                  slot.entry->name);
    if (slot.entry->attached_at)
      return fail(ErrorCode::Busy, "volume \"{}\" is attached: detach it first", slot.entry->name);
    slot.deleting = true;
    const auto settled = [&] {
      return slot.state == VolumeState::Closed || slot.state == VolumeState::Unavailable ||
             State::is_idle(slot);
    };
    while ((!settled() || slot.waiting > 0) && state.clock.now() < deadline)
      state.changed.wait_for(state.mutex, kLookAgain);
    if (!settled() || slot.waiting > 0) {
      slot.deleting = false;
      return fail(ErrorCode::Busy, "volume \"{}\" is in use: try again", slot.entry->name);
    }
  }
  const Status begun = state.registry->set_stage(id, Registry::Stage::Deleting);
  if (!begun) {
    // The row may say so in spite of that, and then the next start removes the volume: nobody must
    // write into it before the row is known to say otherwise.
    const Status there = state.registry->set_stage(id, Registry::Stage::There);
    if (!there)
      return fail(ErrorCode::OutcomeUnknown,
                  "whether the volume is deleted shows when the server is started anew: {}",
                  begun.error().message);
    const common::MutexLock lock(state.mutex);
    state.slots.find(id)->second.deleting = false;
    return begun;
  }
  TROTH_FAILPOINT_TRY("volumes.remove.after_row");
  {
    const common::MutexLock lock(state.mutex);
    VolumeSlot& slot = state.slots.find(id)->second;
    if (slot.state == VolumeState::Open)
      state.close_slot(slot);
  }
  // From here on it is gone, whatever becomes of its files: the next start removes them.
  Status removed = state.files->remove(id);
  TROTH_FAILPOINT_TRY("volumes.remove.after_files");
  if (removed)
    removed = state.registry->set_stage(id, Registry::Stage::Gone);
  if (!removed)
    common::log::warn("files of a deleted volume stay until the next start",
                      {{"volume", id.value}, {"why", removed.error().message}});
  const common::MutexLock lock(state.mutex);
  state.forget(id);
  return {};
}

// --- changing what the registry says ---

Result<VolumeEntryPtr> VolumeSet::State::change_entry(
    VolumeId id, const std::function<Status(VolumeEntry&)>& change) {
  VolumeEntry entry;
  {
    const common::MutexLock lock(mutex);
    const auto found = slots.find(id);
    if (found == slots.end() || found->second.deleting)
      return fail(ErrorCode::NotFound, "there is no volume {}", id.value);
    if (found->second.administered)
      return fail(ErrorCode::Busy, "somebody else is changing volume \"{}\"",
                  found->second.entry->name);
    entry = *found->second.entry;
    TROTH_TRY_VOID(change(entry));
    found->second.administered = true;
  }
  Status stored = registry->update_volume(entry);
  if (!stored && says(entry))
    stored = fail(ErrorCode::OutcomeUnknown,
                  "the change is made, but it is not known to be on the disk: {}",
                  stored.error().message);
  const common::MutexLock lock(mutex);
  VolumeSlot& slot = slots.find(id)->second;
  slot.administered = false;
  if (!stored && stored.error().code != ErrorCode::OutcomeUnknown)
    return tl::unexpected(stored.error());
  if (slot.entry->name != entry.name) {
    names.erase(slot.entry->name);
    names[entry.name] = id;
  }
  entry.attachments = slot.entry->attachments;  // which others may have changed
  slot.entry = std::make_shared<VolumeEntry>(std::move(entry));
  if (!stored)
    return tl::unexpected(stored.error());
  return slot.entry;
}

// A change that failed for the disk's sake may be in the registry all the same: what is in memory
// follows that.
bool VolumeSet::State::says(const VolumeEntry& entry) const {
  const auto rows = registry->volumes();
  if (!rows)
    return false;
  return std::any_of(rows->begin(), rows->end(), [&](const Registry::VolumeRow& row) {
    return row.entry.id == entry.id && row.entry.name == entry.name &&
           row.entry.policy == entry.policy && row.entry.attached_at == entry.attached_at;
  });
}

Result<VolumeEntryPtr> VolumeSet::set_policy(VolumeId id, const VolumePolicy& policy) {
  TROTH_TRY_VOID(check_policy(policy));
  return state_->change_entry(id, [&](VolumeEntry& entry) -> Status {
    entry.policy = policy;
    return {};
  });
}

Result<VolumeEntryPtr> VolumeSet::rename(VolumeId id, const std::string& name) {
  TROTH_TRY_VOID(check_volume_name(name));
  return state_->change_entry(id, [&](VolumeEntry& entry) -> Status {
    entry.name = name;  // whether it is free the registry knows
    return {};
  });
}

Status VolumeSet::attach(VolumeId id, Fid at) {
  State& state = *state_;
  bool placed = false;
  // Under the lock: places of volumes are looked at, and taken, in one step.
  const auto place = [&](VolumeEntry& entry) REQUIRES(state.mutex) -> Status {
    if (entry.is_root)
      return fail(ErrorCode::InvalidArgument, "the root volume lies nowhere");
    if (entry.attached_at)
      return fail(ErrorCode::Busy, "volume \"{}\" is attached elsewhere", entry.name);
    const auto parent = state.slots.find(at.volume);
    if (parent == state.slots.end() || parent->second.deleting)
      return fail(ErrorCode::NotFound, "there is no volume {}", at.volume.value);
    if (parent->second.entry->attachments.contains(at.node))
      return fail(ErrorCode::Busy, "a volume is attached there already");
    VolumeId above = at.volume;
    for (int steps = 0;; ++steps) {
      if (above == id || steps > kMostAttached)
        return fail(ErrorCode::Conflict, "volume \"{}\" would lie in itself", entry.name);
      const auto next = state.slots.find(above);
      if (next == state.slots.end() || !next->second.entry->attached_at)
        break;
      above = next->second.entry->attached_at->volume;
    }
    entry.attached_at = at;
    VolumeEntry with = *parent->second.entry;
    with.attachments[at.node] = id;
    parent->second.entry = std::make_shared<VolumeEntry>(std::move(with));
    placed = true;
    return {};
  };
  const auto done = state.change_entry(id, place);
  if (!done && placed && done.error().code != ErrorCode::OutcomeUnknown)
    take_off(id, at);
  return done ? Status() : tl::unexpected(done.error());
}

void VolumeSet::take_off(VolumeId id, Fid at) {
  const common::MutexLock lock(state_->mutex);
  const auto parent = state_->slots.find(at.volume);
  if (parent == state_->slots.end())
    return;
  const auto there = parent->second.entry->attachments.find(at.node);
  if (there == parent->second.entry->attachments.end() || there->second != id)
    return;
  VolumeEntry without = *parent->second.entry;
  without.attachments.erase(at.node);
  parent->second.entry = std::make_shared<VolumeEntry>(std::move(without));
}

Result<Fid> VolumeSet::detach(VolumeId id) {
  Fid at;
  const auto done = state_->change_entry(id, [&](VolumeEntry& entry) -> Status {
    if (!entry.attached_at)
      return fail(ErrorCode::NotFound, "volume \"{}\" is attached nowhere", entry.name);
    at = *entry.attached_at;
    entry.attached_at.reset();
    return {};
  });
  if (done || done.error().code == ErrorCode::OutcomeUnknown)
    take_off(id, at);
  if (!done)
    return tl::unexpected(done.error());
  return at;
}

}  // namespace fileserver
