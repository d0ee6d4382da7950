#pragma once

// The mounts that are known here: opening, joining and closing their sessions, their streams, and
// what promises have to say to them.

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/stream/server.hpp"
#include "common/ticket/verifier.hpp"
#include "fileserver/sessions/promise_keeper.hpp"
#include "fileserver/sessions/session_table.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

struct SessionsOptions {
  PromiseOptions promises;
  SessionCaps caps;
  // Address, port and certificate of the stream listener; its leases are those of `promises`.
  common::stream::StreamServerOptions streams;
  // A sign of life of the thread.
  std::function<void()> beat;
};

struct SessionCounts {
  std::size_t sessions = 0;
  std::uint64_t opened = 0;
  std::uint64_t breaks_sent = 0;
  std::uint64_t updates_sent = 0;
};

// Safe from any thread. Threads: "streams" (of the stream server), "promises" (of the keeper),
// "sessions" (of its own: what ends sessions on the disk, and the stable seqs).
class Sessions {
 public:
  // Knows the sessions of the former life, and listens. `volumes` and `clock` outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Sessions>> start(SessionsOptions options,
                                                               VolumeSet& volumes,
                                                               const common::Clock& clock);
  ~Sessions();
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  [[nodiscard]] PromiseKeeper& keeper();
  [[nodiscard]] std::uint16_t stream_port() const;
  [[nodiscard]] std::chrono::milliseconds lease() const;
  [[nodiscard]] std::chrono::milliseconds margin() const;

  // --- calls; block on the disk ---
  // A new session of this mount; an older one is over. PermissionDenied: the mount id is somebody
  // else's; Overloaded, ResourceExhausted: too often, too many.
  [[nodiscard]] Result<FileSessionPtr> open(const common::ticket::Principal& opener,
                                            const store::MountId& mount);
  // `proof` is over `binding` and the caller's name. Unauthenticated: it is not right, or there is
  // no such session (which is not told). Stale: it is over. Resuming says that the mount trusts
  // nothing any more.
  using Proof = std::array<std::byte, 32>;
  [[nodiscard]] Result<FileSessionPtr> resume(const std::string& caller,
                                              const store::MountId& mount, SessionId session,
                                              const Proof& proof, const Proof& binding);
  [[nodiscard]] Result<FileSessionPtr> join(const std::string& caller, SessionId session,
                                            const Proof& proof, const Proof& binding);
  // Its mount trusts nothing any more.
  void close(const FileSessionPtr& session);

  // All that he has opened and that live, or may yet come back; ascending.
  [[nodiscard]] std::vector<SessionId> opened_by(common::ticket::PrincipalId opener);
  // Of whose calls nothing is answered any more. Sessions that one of them has opened are over;
  // what others were promised in which one of `newly` (ascending) takes part is asked for: their
  // mounts remember what he may. Those of a former life that are not back are left until they are.
  void revoke(const std::function<bool(common::ticket::PrincipalId)>& disabled,
              std::span<const common::ticket::PrincipalId> newly);
  // Whether it lives, or may yet come back.
  [[nodiscard]] bool lives(SessionId session);
  // A commit of this session is not stable yet: it is told when it is.
  void note_unstable(const FileSessionPtr& session, common::VolumeId volume, common::Seq seq);
  // Nobody may trust anything of that volume any more.
  void volume_deleted(common::VolumeId volume);
  // Volumes in which it has committed, with their epochs and stable seqs, are the caller's to know.
  [[nodiscard]] std::vector<common::VolumeId> volumes_of(const FileSessionPtr& session);

  [[nodiscard]] SessionCounts counts();
  [[nodiscard]] const common::stream::StreamServerStats& stream_stats() const;

  // Says goodbye to all streams; true if nobody trusts anything any more, so that the stop may be
  // recorded as clean.
  bool stop();

 private:
  class Impl;
  explicit Sessions(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace fileserver
