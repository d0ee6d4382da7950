#pragma once

// Making a call until what comes back stands: the loop around repeat.hpp.

#include <functional>

#include "common/fileclient/repeat.hpp"
#include "common/rpc/retry.hpp"

namespace common::fileclient {

// Calls that the caller gives no deadline have this long, repeats and all: longer than a change may
// wait for the promises of others (PROTOCOL.md 1, Lease).
inline constexpr std::chrono::seconds kPatience{30};

struct CallOptions {
  std::optional<Instant> deadline;                  // none: kPatience from now
  const rpc::Cancellation* cancellation = nullptr;  // outlives the call
  // After an unknown outcome of an earlier process: repeat under this one. Zero: a new one.
  OperationId id;

  [[nodiscard]] Instant until() const;
};

struct AttemptEnd {
  rpc::CallResult result;
  // The server looked at nothing but the session, which is over: with another one it is to be tried
  // again, and that is no repeat that a server in trouble would have to bear.
  bool session_over = false;
};

// The answer, or the one error that stands. A request with an operation id changes something: after
// an attempt whose outcome nobody knows the error is OutcomeUnknown unless a later attempt was
// answered. Blocks until the request's deadline at most.
[[nodiscard]] Result<rpc::Answer> call_repeatedly(
    rpc::Request& request, rpc::RetryBudget& budget,
    const std::function<AttemptEnd(rpc::Request&)>& attempt);

}  // namespace common::fileclient
