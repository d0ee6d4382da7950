#pragma once

// Carries changes through: PROTOCOL.md, "A change, in order". The only caller of begin_change and
// of Volume::commit for what clients ask.

#include <memory>

#include "common/clock.hpp"
#include "fileserver/changes/change.hpp"
#include "fileserver/sessions/promise_keeper.hpp"

namespace fileserver {

class PendingChange;

// The set of nodes may grow so often between check and commit; beyond, `overloaded`.
inline constexpr int kMostExtensions = 4;

// Safe from any thread.
class ChangePipeline {
 public:
  ChangePipeline(PromiseKeeper& keeper, const common::Clock& clock)
      : keeper_(keeper), clock_(clock) {}

  // The answer, or a parked call. See FileCall::change.
  [[nodiscard]] Result<common::rpc::Reply> run(FileCall& call, std::unique_ptr<Change> change);

 private:
  [[nodiscard]] Result<common::rpc::Reply> go_on(FileCall& call,
                                                 const std::shared_ptr<PendingChange>& pending);
  [[nodiscard]] Status extend(FileCall& call, const std::shared_ptr<PendingChange>& pending,
                              const std::vector<common::Fid>& unmarked);
  [[nodiscard]] static Status repeat(FileCall& call, PendingChange& pending,
                                     const common::Error& error, bool outdated);
  [[nodiscard]] Result<common::rpc::Reply> finish(FileCall& call, PendingChange& pending,
                                                  store::CommitReply commit);
  [[nodiscard]] Result<common::rpc::Reply> unless_done(FileCall& call, PendingChange& pending,
                                                       const common::Error& error);

  PromiseKeeper& keeper_;
  const common::Clock& clock_;
};

}  // namespace fileserver
