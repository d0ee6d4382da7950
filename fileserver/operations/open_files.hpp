#pragma once

// What a session holds of a volume: open files with their versions, and room.

#include "fileserver/operations/file_call.hpp"

namespace fileserver {

// Pins the version, and keeps the handle under the mount's number. AlreadyExists: it is in use.
[[nodiscard]] Status hold(FileSession& session, const VolumeRef& volume, std::uint64_t number,
                          const OpenHandle& handle);
// Whether the session pinned that version in the server's life before, for a handle that has not
// been opened again.
[[nodiscard]] Result<bool> is_pinned_of_old(FileSession& session, const VolumeRef& volume, Fid fid,
                                            common::Seq version);
// These are not open any more. While the volume cannot be had their pins are owed: they go with a
// later release, or with the session.
void let_go(FileCall& call, FileSession& session, VolumeId volume,
            std::span<const OpenHandle> handles);
// Whether hold() would say no: to be asked before something is done that cannot be undone then.
[[nodiscard]] Status check_can_hold(FileSession& session, std::uint64_t number, Fid fid);
// This caller has this node open under that number.
[[nodiscard]] bool is_held(FileSession& session, std::uint64_t number, Fid fid, PrincipalId caller);

// How much may still be written in all: quota or disk, whichever is less.
[[nodiscard]] std::uint64_t room_of(const store::Usage& usage);
// Raises what the session has left to at least this. One call of a session at a time (its `room`).
[[nodiscard]] Result<store::Volume::Reservation> raise_reservation(const VolumeRef& volume,
                                                                   SessionId session,
                                                                   std::uint64_t nodes,
                                                                   std::uint64_t bytes);

}  // namespace fileserver
