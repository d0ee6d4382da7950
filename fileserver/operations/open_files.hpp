#pragma once

// What a session holds of a volume: open files with their versions, and room.

#include "fileserver/operations/file_call.hpp"

namespace fileserver {

// Pins the version, and keeps the handle under the mount's number. AlreadyExists: it is in use.
[[nodiscard]] Status hold(FileSession& session, const VolumeRef& volume, std::uint64_t number,
                          const OpenHandle& handle);
// The same of a version that the commit has pinned which made it; know_former_pins() came before.
[[nodiscard]] Status hold_pinned(FileSession& session, const VolumeRef& volume,
                                 std::uint64_t number, const OpenHandle& handle);
// Asks once, before the session pins anything here in this life of the server.
[[nodiscard]] Status know_former_pins(FileSession& session, const VolumeRef& volume);
// Whether the session pinned that version in the server's life before, for a handle that has not
// been opened again.
[[nodiscard]] Result<bool> is_pinned_of_old(FileSession& session, const VolumeRef& volume, Fid fid,
                                            common::Seq version);
// These are not open any more. While the volume cannot be had their pins are owed: they go with a
// later release, or with the session.
void let_go(FileCall& call, FileSession& session, VolumeId volume,
            std::span<const OpenHandle> handles);
// All that was open in that volume before the server started is open again: what is left of the
// pins of that life goes. They were for handles whose release, or whose opening, got lost then.
[[nodiscard]] Status let_go_rest(FileCall& call, FileSession& session, const VolumeRef& volume);
// Whether hold() would say no: to be asked before something is done that cannot be undone then.
[[nodiscard]] Status check_can_hold(FileSession& session, std::uint64_t number, Fid fid);
// He has this node open under that number.
[[nodiscard]] bool is_held(FileSession& session, std::uint64_t number, Fid fid,
                           const HandleOwner& owner);

// How much may still be written in all: quota or disk, whichever is less.
[[nodiscard]] std::uint64_t room_of(const store::Usage& usage);
// Raises what the call's session has left to at least this. EDQUOT, ENOSPC: all sessions of its
// opener may keep a quarter of what nobody else does.
[[nodiscard]] Result<store::Volume::Reservation> raise_reservation(FileCall& call,
                                                                   const VolumeRef& volume,
                                                                   std::uint64_t nodes,
                                                                   std::uint64_t bytes);
// Brings it down to at most this.
[[nodiscard]] Result<store::Volume::Reservation> lower_reservation(FileCall& call,
                                                                   const VolumeRef& volume,
                                                                   std::uint64_t nodes,
                                                                   std::uint64_t bytes);

}  // namespace fileserver
