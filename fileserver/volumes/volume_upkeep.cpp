// The thread that closes, cleans and verifies volumes.

#include <algorithm>

#include "common/log/log.hpp"
#include "fileserver/volumes/volume_set_state.hpp"

namespace fileserver {

namespace {

using common::Duration;
using common::Instant;
using namespace std::chrono_literals;

// How often the thread looks at everything.
constexpr std::chrono::milliseconds kRound{1'000};
// After a piece of maintenance it rests for so many times as long: a tenth of a core and of the
// disk, whatever there is to do.
constexpr int kRestFactor = 9;
// Where there was nothing to do.
constexpr std::chrono::seconds kNothingToDo{10};
constexpr std::uint64_t kScrubPiece = 1 << 20;
// To whom a volume is lent when its disk fails has so long to give it back: longer than calls are
// parked. Else it stays readable, and that is tried again.
constexpr std::chrono::seconds kWithdrawn{45};
// A round of scrubbing has ended: the next begins so much later.
constexpr std::chrono::hours kBetweenScrubs{24};

}  // namespace

void VolumeSet::State::thread_main() {
  ::pthread_setname_np(::pthread_self(), "volumes");
  const common::MutexLock lock(mutex);
  Instant round{};
  while (!stopping) {
    if (options.beat)
      options.beat();
    tell_ended_sessions();
    if (const Instant now = clock.now(); now >= round) {
      close_what_is_idle();
      get_back();
      round = now + kRound;
    }
    const Instant next = std::min(maintain_one(), round);
    const Instant now = clock.now();
    if (!stopping && next > now)
      changed.wait_for(mutex, next - now);
  }
}

void VolumeSet::State::close_what_is_idle() {
  const Instant now = clock.now();
  std::vector<VolumeId> idle;
  for (auto& [id, slot] : slots) {
    if (slot.used || slot.last_used == Instant{})
      slot.last_used = now;
    slot.used = false;
    if (is_idle(slot) && now - slot.last_used >= options.idle)
      idle.push_back(id);
  }
  for (const VolumeId id : idle) {
    const auto found = slots.find(id);
    // The lock was given up while another one closed.
    if (found != slots.end() && !found->second.used && !found->second.deleting &&
        is_idle(found->second))
      close_slot(found->second);
  }
}

void VolumeSet::State::get_back() {
  std::vector<VolumeId> bad;
  for (const auto& [id, slot] : slots) {
    if (slot.state == VolumeState::Open && !slot.deleting && !slot.loading &&
        !slot.open->volume->health())
      bad.push_back(id);
  }
  for (const VolumeId id : bad) {
    const auto there = [&]() REQUIRES(mutex) {
      const auto found = slots.find(id);
      return found != slots.end() && found->second.state == VolumeState::Open &&
                     !found->second.deleting && !found->second.loading
                 ? &found->second
                 : nullptr;
    };
    VolumeSlot* slot = there();
    if (slot == nullptr || (!slot->withdrawn && clock.now() < slot->retry_at))
      continue;
    if (!slot->withdrawn) {
      Status writable;
      {
        const common::MutexUnlock unlock(mutex);
        writable = files->try_to_write(id);
      }
      slot = there();
      if (slot == nullptr)
        continue;
      slot->retry_at = clock.now() + options.retry;
      if (!writable)
        continue;
      slot->withdrawn = true;
      slot->withdraw_until = clock.now() + kWithdrawn;
      slot->why = "its disk has failed, and it is being opened anew";
    }
    if (is_idle(*slot)) {
      common::log::warn("opening a volume anew whose disk had failed",
                        {{"volume", slot->entry->name}});
      close_slot(*slot);
      const auto closed = slots.find(id);
      if (closed != slots.end() && closed->second.state == VolumeState::Closed &&
          !closed->second.deleting)
        open_slot(closed->second);
    } else if (clock.now() >= slot->withdraw_until) {
      slot->withdrawn = false;
    }
  }
}

void VolumeSet::State::tell_ended_sessions() {
  for (;;) {
    std::shared_ptr<OpenVolume> open;
    std::vector<SessionId> ended;
    VolumeId of{};
    for (auto& [id, slot] : slots) {
      if (slot.state == VolumeState::Open && !slot.deleting && !slot.ended.empty()) {
        open = slot.open;
        ended.swap(slot.ended);
        slot.maintained = true;
        of = id;
        break;
      }
      if (slot.state == VolumeState::Closed || slot.state == VolumeState::Unavailable)
        slot.ended.clear();  // opening asks who lives
    }
    if (!open)
      return;
    {
      const common::MutexUnlock unlock(mutex);
      for (const SessionId session : ended) {
        // What it holds stays then until the volume is opened the next time.
        if (const Status done = open->volume->end_session(session); !done)
          common::log::warn("what a session held in a volume could not be freed",
                            {{"volume", of.value}, {"why", done.error().message}});
      }
      open.reset();
    }
    maintenance_over(of);
  }
}

// `id` may have been deleted meanwhile. Whoever waits for it to be idle looks again.
void VolumeSet::State::maintenance_over(VolumeId id) {
  if (const auto found = slots.find(id); found != slots.end())
    found->second.maintained = false;
  changed.notify_all();
}

Instant VolumeSet::State::maintain_one() {
  const Instant now = clock.now();
  Instant next = Instant::max();
  VolumeSlot* due = nullptr;
  for (auto& [id, slot] : slots) {
    if (slot.state != VolumeState::Open || slot.deleting || slot.loading)
      continue;  // who deletes waits until nobody uses it
    const Instant when = options.scrub_bytes_per_second == 0
                             ? slot.maintain_at
                             : std::min(slot.maintain_at, slot.scrub_at);
    if (when <= now && (due == nullptr || slot.maintain_at < due->maintain_at))
      due = &slot;
    next = std::min(next, when);
  }
  if (due == nullptr)
    return next;
  const bool scrub = options.scrub_bytes_per_second != 0 && due->scrub_at <= now &&
                     due->scrub_at < due->maintain_at;
  std::shared_ptr<OpenVolume> open = due->open;
  due->maintained = true;
  const VolumeId id = due->entry->id;
  common::Result<bool> more = false;
  Instant done;
  {
    const common::MutexUnlock unlock(mutex);
    more = scrub ? open->volume->scrub(kScrubPiece) : open->volume->maintain();
    done = clock.now();
    open.reset();
  }
  maintenance_over(id);
  const auto found = slots.find(id);
  if (found == slots.end())
    return done;
  if (!more)
    common::log::warn("maintenance of a volume failed",
                      {{"volume", found->second.entry->name}, {"why", more.error().message}});
  if (scrub) {
    // scrub() says whether the round has ended.
    const bool over = !more || *more;
    const auto pause = Duration(std::chrono::seconds(1)) * static_cast<std::int64_t>(kScrubPiece) /
                       static_cast<std::int64_t>(options.scrub_bytes_per_second);
    found->second.scrub_at = done + (over ? Duration(kBetweenScrubs) : Duration(pause));
  } else {
    const bool go_on = more && *more;
    found->second.maintain_at = go_on ? done + (done - now) * kRestFactor : done + kNothingToDo;
  }
  // A rest for all: it is one thread that is to take a tenth.
  return done + (done - now) * kRestFactor;
}

}  // namespace fileserver
