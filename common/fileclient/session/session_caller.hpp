#pragma once

// The connections of one caller: each has proven who he is, and has joined the mount's session.

#include <memory>

#include "common/auth/credential_source.hpp"
#include "common/fileclient/session/session_key.hpp"
#include "common/rpc/pool.hpp"
#include "common/sync/mutex.hpp"

namespace common::fileclient {

class MountSession;

// Made by MountSession::caller(), and not used longer than the session. Safe from any thread.
class SessionCaller {
 public:
  SessionCaller(MountSession& session, std::shared_ptr<auth::CredentialSource> tickets);

  // One call, over connections that have joined `session`; null: none.
  [[nodiscard]] rpc::CallResult call(const SessionKeyPtr& session, const rpc::Request& request,
                                     rpc::Lane lane) EXCLUDES(mutex_);

  [[nodiscard]] const std::shared_ptr<auth::CredentialSource>& tickets() const { return tickets_; }

 private:
  [[nodiscard]] std::shared_ptr<rpc::Pool> pool_of(const SessionKeyPtr& session) EXCLUDES(mutex_);
  [[nodiscard]] Status join(rpc::Client& client, const SessionKey& session, Instant deadline,
                            const rpc::Cancellation* cancellation) const;

  MountSession& mount_;
  const std::shared_ptr<auth::CredentialSource> tickets_;

  Mutex mutex_;
  SessionKeyPtr joined_ GUARDED_BY(mutex_);
  std::shared_ptr<rpc::Pool> pool_ GUARDED_BY(mutex_);
};

}  // namespace common::fileclient
