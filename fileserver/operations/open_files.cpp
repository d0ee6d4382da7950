#include "fileserver/operations/open_files.hpp"

#include <algorithm>
#include <cerrno>

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
  const Status pinned = volume->pin(session.id, handle.fid.node, handle.version);
  if (!pinned)
    session.held.lock()->handles.erase(number);
  return pinned;
}

bool is_held(FileSession& session, std::uint64_t number, Fid fid, PrincipalId caller) {
  auto held = session.held.lock();
  const auto found = held->handles.find(number);
  return found != held->handles.end() && found->second.fid == fid && found->second.caller == caller;
}

}  // namespace fileserver
