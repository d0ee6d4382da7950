#include "fileserver/operations/open_files.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fileserver/operations/file_parts.hpp"
#include "fileserver/sessions/sessions.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;

// Of what is left, one principal's sessions may keep so much.
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

namespace {

using Room = store::Volume::Reservation;

// What the other sessions of this one's opener keep.
Result<Room> kept_by_siblings(FileCall& call, const VolumeRef& volume) {
  const FileSession& session = *call.session();
  TROTH_TRY(const auto all, volume->reservations());
  const std::vector<SessionId> siblings = call.parts().sessions.opened_by(session.opener);
  Room kept;
  for (const auto& [id, room] : all) {
    if (id == session.id || !std::binary_search(siblings.begin(), siblings.end(), id))
      continue;
    kept.nodes += room.nodes;
    kept.bytes += room.bytes;
  }
  return kept;
}

// A share of what is free, if nobody else has it already.
std::uint64_t share_of(std::uint64_t free, std::uint64_t reserved, std::uint64_t own) {
  const std::uint64_t others = reserved - std::min(reserved, own);
  return (free - std::min(free, others)) / kShareOfRoom;
}

}  // namespace

Result<Room> raise_reservation(FileCall& call, const VolumeRef& volume, std::uint64_t nodes,
                               std::uint64_t bytes) {
  const FileSession& session = *call.session();
  const auto alone = call.parts().allowances->room_of(session.opener).lock();
  TROTH_TRY(Room has, volume->reservation(session.id));
  if (has.nodes >= nodes && has.bytes >= bytes)
    return has;
  TROTH_TRY(const store::Usage usage, volume->usage());
  TROTH_TRY(const Room siblings, kept_by_siblings(call, volume));
  const auto is_too_much = [](std::uint64_t wanted, std::uint64_t kept, std::uint64_t share) {
    return wanted > share || kept > share - wanted;
  };
  if (bytes > has.bytes &&
      is_too_much(bytes, siblings.bytes,
                  share_of(room_of(usage), usage.reserved_bytes, has.bytes + siblings.bytes)))
    return fail_posix(usage.quota_bytes ? EDQUOT : ENOSPC,
                      "nobody may keep more than a quarter of the room that is left");
  const std::uint64_t most = usage.quota_nodes.value_or(common::fileproto::kMaxNodeId);
  if (nodes > has.nodes && is_too_much(nodes, siblings.nodes,
                                       share_of(most - std::min(most, usage.nodes),
                                                usage.reserved_nodes, has.nodes + siblings.nodes)))
    return fail_posix(EDQUOT, "nobody may keep more than a quarter of the nodes that are left");
  has.nodes = std::max(has.nodes, nodes);
  has.bytes = std::max(has.bytes, bytes);
  TROTH_TRY_VOID(volume->reserve(session.id, has.nodes, has.bytes));
  return has;
}

Result<Room> lower_reservation(FileCall& call, const VolumeRef& volume, std::uint64_t nodes,
                               std::uint64_t bytes) {
  const FileSession& session = *call.session();
  const auto alone = call.parts().allowances->room_of(session.opener).lock();
  TROTH_TRY(Room has, volume->reservation(session.id));
  has.nodes = std::min(has.nodes, nodes);
  has.bytes = std::min(has.bytes, bytes);
  TROTH_TRY_VOID(volume->reserve(session.id, has.nodes, has.bytes));
  return has;
}

Status check_can_hold(FileSession& session, std::uint64_t number, Fid fid) {
  auto held = session.held.lock();
  if (const auto found = held->handles.find(number);
      found != held->handles.end() && found->second.fid != fid)
    return in_use(number);
  return held->handles.size() < kMaxHandles ? Status() : too_many();
}

namespace {

Status enter(FileSession& session, std::uint64_t number, const OpenHandle& handle) {
  auto held = session.held.lock();
  if (held->handles.size() >= kMaxHandles)
    return too_many();
  return held->handles.emplace(number, handle).second ? Status() : in_use(number);
}

}  // namespace

Status hold(FileSession& session, const VolumeRef& volume, std::uint64_t number,
            const OpenHandle& handle) {
  TROTH_TRY_VOID(enter(session, number, handle));
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

Status let_go_rest(FileCall& call, FileSession& session, const VolumeRef& volume) {
  {
    auto loose = session.loose.lock();
    TROTH_TRY(FormerPins* const former, former_pins(*loose, session, volume));
    auto& owed = (*loose)[volume.id()].owed;
    for (const auto& [pin, count] : std::exchange(*former, {}))
      owed.insert(owed.end(), count, pin);
  }
  let_go(call, session, volume.id(), {});
  return {};
}

Status know_former_pins(FileSession& session, const VolumeRef& volume) {
  auto loose = session.loose.lock();
  TROTH_TRY_VOID(former_pins(*loose, session, volume));
  return {};
}

Status hold_pinned(FileSession& session, const VolumeRef& volume, std::uint64_t number,
                   const OpenHandle& handle) {
  const Status entered = enter(session, number, handle);
  if (!entered)
    static_cast<void>(volume->unpin(session.id, handle.fid.node, handle.version));
  return entered;
}

bool is_held(FileSession& session, std::uint64_t number, Fid fid, const HandleOwner& owner) {
  auto held = session.held.lock();
  const auto found = held->handles.find(number);
  return found != held->handles.end() && found->second.fid == fid && found->second.owner == owner;
}

}  // namespace fileserver
