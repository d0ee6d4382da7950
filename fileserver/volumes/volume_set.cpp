// Which volumes there are, and giving them to calls.

#include "fileserver/volumes/volume_set.hpp"

#include <algorithm>

#include "common/log/log.hpp"
#include "fileserver/volumes/volume_set_state.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Instant;
using namespace std::chrono_literals;

// More threads than these do not wait for one volume that is being opened: a recovery that takes
// long must not take the workers from all other volumes.
constexpr std::size_t kMostWaiting = 8;
// Nor for longer than this.
constexpr std::chrono::seconds kOpeningPatience{2};
constexpr std::chrono::milliseconds kTryAgain{200};

tl::unexpected<common::Error> unavailable(const VolumeSlot& slot,
                                          std::chrono::milliseconds retry_after) {
  common::Error error{ErrorCode::Unavailable,
                      fmt::format("volume \"{}\" is not available: {}", slot.entry->name,
                                  slot.why.empty() ? "it is being opened" : slot.why),
                      retry_after};
  return tl::unexpected(std::move(error));
}

VolumeReport report_of(const VolumeSlot& slot) {
  VolumeReport report{slot.entry, slot.state, slot.why};
  if (slot.state != VolumeState::Open)
    return report;
  // Its disk has failed while it was open.
  if (const Status healthy = slot.open->volume->health(); !healthy) {
    report.state = VolumeState::Unavailable;
    report.why = healthy.error().message + "; it is opened anew when its disk can be written again";
  }
  return report;
}

}  // namespace

Status check_volume_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (name.empty() || name.size() > kMaxVolumeName || name[0] == '.' || name[0] == '-' ||
      !std::all_of(name.begin(), name.end(), good)) {
    return fail(ErrorCode::InvalidArgument,
                "a volume's name has 1 to {} letters, digits, '.', '_' and '-', and begins with a "
                "letter, a digit or '_'",
                kMaxVolumeName);
  }
  return {};
}

// --- starting ---

Result<std::unique_ptr<VolumeSet>> VolumeSet::open(VolumeSetOptions options,
                                                   const common::Clock& clock) {
  auto state = std::make_unique<State>(std::move(options), clock);
  TROTH_TRY_VOID(state->load());
  State& running = *state;
  std::unique_ptr<VolumeSet> set(new VolumeSet(std::move(state)));
  running.thread = std::thread([&running] { running.thread_main(); });
  return set;
}

VolumeSet::VolumeSet(std::unique_ptr<State> state) : state_(std::move(state)) {}

VolumeSet::~VolumeSet() {
  {
    const common::MutexLock lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  if (state_->thread.joinable())
    state_->thread.join();
}

Status VolumeSet::State::load() {
  TROTH_TRY(registry, Registry::open(options.directory, clock));
  TROTH_TRY(files, VolumeFiles::open(options.directory, options.key_directory));
  pool = std::make_unique<store::WorkPool>();
  TROTH_TRY(const auto rows, registry->volumes());
  TROTH_TRY_VOID(clean_up(rows));
  const common::MutexLock lock(mutex);
  for (const auto& row : rows) {
    if (row.stage != Registry::Stage::There)
      continue;
    slots[row.entry.id].entry = std::make_shared<VolumeEntry>(row.entry);
    names[row.entry.name] = row.entry.id;
  }
  for (const auto& row : rows) {
    if (row.stage != Registry::Stage::There || !row.entry.attached_at)
      continue;
    const auto parent = slots.find(row.entry.attached_at->volume);
    if (parent == slots.end())
      continue;  // it is nowhere; `troth volume detach` tells the registry
    VolumeEntry with = *parent->second.entry;
    with.attachments[row.entry.attached_at->node] = row.entry.id;
    parent->second.entry = std::make_shared<VolumeEntry>(std::move(with));
  }
  return {};
}

// What was being made was never there, what was being deleted is not there any more.
Status VolumeSet::State::clean_up(const std::vector<Registry::VolumeRow>& rows) {
  for (const auto& row : rows) {
    if (row.stage == Registry::Stage::There)
      continue;
    common::log::info("removing a volume whose making or deleting was interrupted",
                      {{"volume", row.entry.id.value}, {"name", row.entry.name}});
    TROTH_TRY_VOID(files->remove(row.entry.id));
    TROTH_TRY_VOID(registry->set_stage(row.entry.id, Registry::Stage::Gone));
  }
  return {};
}

// --- using ---

store::VolumeOptions VolumeSet::State::volume_options(const OpenVolume& open) const {
  store::VolumeOptions how;
  how.key = open.key.empty() ? nullptr : &open.key;
  how.pool = pool.get();
  how.retention = options.retention;
  if (options.adjust)
    options.adjust(how);
  return how;
}

Result<std::shared_ptr<OpenVolume>> VolumeSet::State::open_volume(const VolumeEntry& entry,
                                                                  std::uint64_t generation) const {
  auto open = std::make_shared<OpenVolume>(generation);
  if (entry.sealed) {
    TROTH_TRY(open->key, files->read_key(entry.id));
  }
  TROTH_TRY(open->volume,
            store::Volume::open(files->path_of(entry.id), volume_options(*open), clock));
  if (open->volume->id() != entry.id || open->volume->uuid() != entry.uuid)
    return fail(ErrorCode::Corrupt, "{} holds another volume", files->path_of(entry.id));
  const store::OpenReport& report = open->volume->report();
  if (!report.clean) {
    const bool is_whole = report.rolled_back == 0 && report.damaged_blocks == 0;
    const auto tell = is_whole ? common::log::warn : common::log::error;
    tell("a volume was not closed in order and has been recovered",
         {{"volume", entry.name},
          {"power_lost", report.power_lost},
          {"rolled_back", report.rolled_back},
          {"damaged_blocks", report.damaged_blocks},
          {"cut_bytes", report.cut_bytes}});
  }
  return open;
}

bool VolumeSet::State::is_idle(const VolumeSlot& slot) {
  if (slot.state != VolumeState::Open || slot.open.use_count() != 1)
    return false;
  // Whoever gave the last reference up has done so before we go on: giving one up is ordered after
  // that. (A fence would do, but no thread sanitizer knows them.)
  std::shared_ptr<OpenVolume>(slot.open).reset();
  return true;
}

Result<VolumeRef> VolumeSet::State::use(VolumeId id, Instant deadline) {
  const common::MutexLock lock(mutex);
  const auto found = slots.find(id);
  if (found == slots.end() || found->second.deleting)
    return fail(ErrorCode::NotFound, "there is no volume {}", id.value);
  VolumeSlot& slot = found->second;
  slot.used = true;
  if (slot.state == VolumeState::Open && !slot.withdrawn)
    return VolumeRef(slot.open, slot.entry);
  return open_here(id, deadline);
}

Result<VolumeRef> VolumeSet::State::open_here(VolumeId id, Instant deadline) {
  const Instant patience = std::min(deadline, clock.now() + kOpeningPatience);
  for (;;) {
    const auto found = slots.find(id);
    if (found == slots.end() || found->second.deleting || stopping)
      return fail(ErrorCode::NotFound, "there is no volume {}", id.value);
    VolumeSlot& slot = found->second;
    const Instant now = clock.now();
    switch (slot.state) {
      case VolumeState::Open:
        if (slot.withdrawn)
          return unavailable(slot, kTryAgain);
        return VolumeRef(slot.open, slot.entry);
      case VolumeState::Unavailable:
        if (slot.lost)
          return unavailable(slot, options.retry);
        if (now < slot.retry_at)
          return unavailable(slot,
                             std::chrono::ceil<std::chrono::milliseconds>(slot.retry_at - now));
        break;
      case VolumeState::Closed:
        break;
      case VolumeState::Opening:
      case VolumeState::Closing:
        if (now >= patience || slot.waiting >= kMostWaiting)
          return unavailable(slot, kTryAgain);
        ++slot.waiting;
        changed.wait_for(mutex, patience - now);
        if (const auto again = slots.find(id); again != slots.end())
          --again->second.waiting;
        continue;
    }
    if (!make_room(patience))
      return tl::unexpected(common::Error{ErrorCode::Overloaded,
                                          "all volumes that this server may have open are in use",
                                          kTryAgain});
    // While room was made the slot may have changed.
    const auto still = slots.find(id);
    if (still == slots.end() || (still->second.state != VolumeState::Closed &&
                                 still->second.state != VolumeState::Unavailable))
      continue;
    open_slot(still->second);
  }
}

void VolumeSet::State::open_slot(VolumeSlot& slot) {
  slot.state = VolumeState::Opening;
  slot.why.clear();
  ++open_count;
  const VolumeEntryPtr entry = slot.entry;
  const auto live = lives;
  const std::uint64_t generation = slot.generation;
  const auto seen = slot.seen;
  Result<std::shared_ptr<OpenVolume>> opened;
  Status as_seen;
  {
    const common::MutexUnlock unlock(mutex);
    opened = open_volume(*entry, generation);
    if (opened && seen)
      as_seen = goes_on(*(*opened)->volume, *seen);
    if (opened && !as_seen)
      opened = tl::unexpected(as_seen.error());
    else if (opened && live)
      end_strangers(*(*opened)->volume, live);
  }
  slot.last_used = clock.now();
  slot.lost = !as_seen;
  if (opened) {
    slot.state = VolumeState::Open;
    slot.open = *std::move(opened);
    if (slot.seen && recovered)
      recovered(entry->id);
    slot.seen.reset();
  } else {
    --open_count;
    slot.state = VolumeState::Unavailable;
    slot.why = opened.error().message;
    slot.retry_at = clock.now() + options.retry;
    common::log::error("a volume cannot be opened", {{"volume", entry->name}, {"why", slot.why}});
  }
  changed.notify_all();
}

bool VolumeSet::State::make_room(Instant deadline) {
  while (open_count >= options.open_volumes) {
    VolumeSlot* oldest = nullptr;
    bool soon_idle = false;
    for (auto& [id, slot] : slots) {
      if (is_idle(slot) && (oldest == nullptr || slot.last_used < oldest->last_used))
        oldest = &slot;
      // Only our own thread has it, for a moment: no reason to refuse a caller.
      soon_idle = soon_idle || (slot.maintained && slot.open.use_count() == 2) ||
                  slot.state == VolumeState::Closing;
    }
    if (oldest != nullptr) {
      close_slot(*oldest);
      continue;
    }
    const Instant now = clock.now();
    if (!soon_idle || stopping || now >= deadline)
      return false;
    changed.wait_for(mutex, deadline - now);
  }
  return true;
}

void VolumeSet::State::close_slot(VolumeSlot& slot) {
  slot.state = VolumeState::Closing;
  slot.withdrawn = false;
  std::shared_ptr<OpenVolume> open = std::move(slot.open);
  slot.open.reset();
  slot.generation = open->generation.next();
  const VolumeEntryPtr entry = slot.entry;
  Status closed;
  std::optional<VolumeSlot::Seen> seen;
  {
    const common::MutexUnlock unlock(mutex);
    const VolumeSlot::Seen last{open->volume->visible_seq(), open->volume->epoch()};
    closed = open->volume->close();
    if (!closed)
      seen = last;
    open.reset();
  }
  if (seen)
    slot.seen = seen;
  slot.state = VolumeState::Closed;
  --open_count;
  changed.notify_all();
  // Nothing that was committed is lost: the next opening recovers.
  if (!closed)
    common::log::error("a volume did not close well",
                       {{"volume", entry->name}, {"why", closed.error().message}});
}

Status VolumeSet::State::goes_on(store::Volume& volume, const VolumeSlot::Seen& seen) {
  const auto record = volume.changes_since(store::Seq{seen.seq.value - 1}, 1);
  if (record && record->size() == 1 && record->front().seq == seen.seq &&
      record->front().epoch == seen.epoch)
    return {};
  return fail(ErrorCode::Corrupt,
              "its disk has lost commits that had been answered, from {} back: start this server "
              "anew, so that nobody goes on trusting them",
              seen.seq.value);
}

void VolumeSet::State::end_strangers(store::Volume& volume,
                                     const std::function<bool(SessionId)>& live) {
  const auto held = volume.sessions();
  if (!held)
    return;  // what they hold costs room until the next opening
  for (const SessionId session : *held) {
    if (!live(session))
      static_cast<void>(volume.end_session(session));
  }
}

// --- the calls ---

Result<VolumeRef> VolumeSet::use(VolumeId id, Instant deadline) {
  return state_->use(id, deadline);
}

VolumeEntryPtr VolumeSet::entry(VolumeId id) const {
  const common::MutexLock lock(state_->mutex);
  const auto found = state_->slots.find(id);
  return found == state_->slots.end() || found->second.deleting ? nullptr : found->second.entry;
}

VolumeEntryPtr VolumeSet::find(std::string_view name) const {
  const common::MutexLock lock(state_->mutex);
  const auto found = state_->names.find(name);
  if (found == state_->names.end())
    return nullptr;
  const auto slot = state_->slots.find(found->second);
  return slot == state_->slots.end() || slot->second.deleting ? nullptr : slot->second.entry;
}

std::vector<VolumeReport> VolumeSet::list() const {
  const common::MutexLock lock(state_->mutex);
  std::vector<VolumeReport> reports;
  for (const auto& [name, id] : state_->names) {
    const auto found = state_->slots.find(id);
    if (found != state_->slots.end() && !found->second.deleting)
      reports.push_back(report_of(found->second));
  }
  return reports;
}

Registry& VolumeSet::registry() {
  return *state_->registry;
}

void VolumeSet::set_liveness(std::function<bool(SessionId)> lives) {
  const common::MutexLock lock(state_->mutex);
  state_->lives = std::move(lives);
}

void VolumeSet::set_recovered(std::function<void(VolumeId)> recovered) {
  const common::MutexLock lock(state_->mutex);
  state_->recovered = std::move(recovered);
}

void VolumeSet::end_session(SessionId session) {
  {
    const common::MutexLock lock(state_->mutex);
    for (auto& [id, slot] : state_->slots) {
      // One that is being opened may have asked about this session when it still lived.
      if (slot.state == VolumeState::Open || slot.state == VolumeState::Opening)
        slot.ended.push_back(session);
    }
  }
  state_->changed.notify_all();
}

void VolumeSet::close(Instant deadline) {
  {
    const common::MutexLock lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  if (state_->thread.joinable())
    state_->thread.join();
  const common::MutexLock lock(state_->mutex);
  for (auto& [id, slot] : state_->slots) {
    if (state_->clock.now() >= deadline)
      break;
    if (State::is_idle(slot))
      state_->close_slot(slot);
  }
}

}  // namespace fileserver
