#include "fileserver/operations/open_files.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

// Of what is free, one session may keep so much for itself.
constexpr std::uint64_t kShareOfRoom = 4;

Status too_many() {
  return fail(ErrorCode::ResourceExhausted, "a session has at most {} files open", kMaxHandles);
}
Status in_use(std::uint64_t handle) {
  return fail(ErrorCode::AlreadyExists, "handle {} is in use", handle);
}

using FormerPins = std::map<LoosePins::Pin, std::uint64_t>;

// What the session had pinned here before this life of the server. Asked before it pins anything in
// this one: then all that the volume knows is of the life before.
Result<FormerPins*> former_pins(std::map<VolumeId, LoosePins>& loose, const FileSession& session,
                                const VolumeRef& volume) {
  LoosePins& here = loose[volume.id()];
  if (!here.former) {
    FormerPins found;
    if (session.is_former) {
      TROTH_TRY(const auto pins, volume->pinned(session.id));
      for (const auto& pin : pins)
        found[{pin.node, pin.version}] = pin.count;
    }
    here.former = std::move(found);
  }
  return &*here.former;
}

// A pin of the life before that stands for this handle from now on.
Result<bool> take_over(FileSession& session, const VolumeRef& volume, const OpenHandle& handle) {
  auto loose = session.loose.lock();
  TROTH_TRY(FormerPins* const former, former_pins(*loose, session, volume));
  const auto pin = former->find({handle.fid.node, handle.version});
  if (pin == former->end())
    return false;
  if (--pin->second == 0)
    former->erase(pin);
  return true;
}

Status pin(FileSession& session, const VolumeRef& volume, const OpenHandle& handle) {
  TROTH_TRY(const bool taken, take_over(session, volume, handle));
  return taken ? Status() : volume->pin(session.id, handle.fid.node, handle.version);
}

}  // namespace

std::uint64_t room_of(const store::Usage& usage) {
  std::uint64_t room = usage.disk_free;
  if (usage.quota_bytes)
    room = std::min(room, *usage.quota_bytes - std::min(*usage.quota_bytes, usage.bytes));
  return room;
}

Result<store::Volume::Reservation> raise_reservation(const VolumeRef& volume, SessionId session,
                                                     std::uint64_t nodes, std::uint64_t bytes) {
  TROTH_TRY(store::Volume::Reservation has, volume->reservation(session));
  if (has.nodes >= nodes && has.bytes >= bytes)
    return has;
  TROTH_TRY(const store::Usage usage, volume->usage());
  if (bytes > has.bytes && bytes > room_of(usage) / kShareOfRoom)
    return fail_posix(usage.quota_bytes ? EDQUOT : ENOSPC,
                      "one session may keep at most a quarter of the room that is free");
  has.nodes = std::max(has.nodes, nodes);
  has.bytes = std::max(has.bytes, bytes);
  TROTH_TRY_VOID(volume->reserve(session, has.nodes, has.bytes));
  return has;
}

Status check_can_hold(FileSession& session, std::uint64_t number, Fid fid) {
  auto held = session.held.lock();
  if (const auto found = held->handles.find(number);
      found != held->handles.end() && found->second.fid != fid)
    return in_use(number);
  return held->handles.size() < kMaxHandles ? Status() : too_many();
}

Status hold(FileSession& session, const VolumeRef& volume, std::uint64_t number,
            const OpenHandle& handle) {
  {
    auto held = session.held.lock();
    if (held->handles.size() >= kMaxHandles)
      return too_many();
    if (!held->handles.emplace(number, handle).second)
      return in_use(number);
  }
  const Status pinned = pin(session, volume, handle);
  if (!pinned)
    session.held.lock()->handles.erase(number);
  return pinned;
}

Result<bool> is_pinned_of_old(FileSession& session, const VolumeRef& volume, Fid fid,
                              common::Seq version) {
  if (!session.is_former)
    return false;
  auto loose = session.loose.lock();
  TROTH_TRY(const FormerPins* const former, former_pins(*loose, session, volume));
  return former->contains({fid.node, version});
}

void let_go(FileCall& call, FileSession& session, VolumeId id,
            std::span<const OpenHandle> handles) {
  std::vector<LoosePins::Pin> pins;
  pins.reserve(handles.size());
  for (const OpenHandle& handle : handles)
    pins.emplace_back(handle.fid.node, handle.version);
  const auto volume = call.volume(id);
  if (!volume && volume.error().code == ErrorCode::NotFound) {
    session.loose.lock()->erase(id);  // deleted, and all pins with it
    return;
  }
  {
    auto loose = session.loose.lock();
    if (const auto here = loose->find(id); here != loose->end()) {
      const auto owed = std::exchange(here->second.owed, {});
      pins.insert(pins.end(), owed.begin(), owed.end());
    }
  }
  std::erase_if(pins, [&](const LoosePins::Pin& pin) {
    if (!volume)
      return false;
    const Status gone = (*volume)->unpin(session.id, pin.first, pin.second);
    return gone || gone.error().code == ErrorCode::NotFound;
  });
  if (pins.empty())
    return;
  auto loose = session.loose.lock();
  auto& owed = (*loose)[id].owed;
  owed.insert(owed.end(), pins.begin(), pins.end());
}

bool is_held(FileSession& session, std::uint64_t number, Fid fid, PrincipalId caller) {
  auto held = session.held.lock();
  const auto found = held->handles.find(number);
  return found != held->handles.end() && found->second.fid == fid && found->second.caller == caller;
}

}  // namespace fileserver
