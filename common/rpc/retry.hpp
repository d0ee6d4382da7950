#pragma once

// Repeating calls where that is safe, and only as often as a server in trouble can bear.

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>

#include "common/rpc/client.hpp"
#include "common/rpc/pool.hpp"
#include "common/sync/locked.hpp"

namespace common::rpc {

// What an operation allows after a call of it ended in an unknown way.
enum class Repeat : std::uint8_t {
  OnlyIfNotExecuted,  // never after an unknown outcome
  ChangesNothing,     // executing it twice is the same as once
  ByOperationId,      // the server remembers the id and what it answered
};

struct RetryPolicy {
  std::size_t attempts = 5;  // the first one included
  std::chrono::milliseconds first_pause{10};
  std::chrono::milliseconds longest_pause{1'000};
};

// How many repeats all callers of one server may make together: a tenth of their calls, plus a
// reserve for the quiet times. Any thread.
class RetryBudget {
 public:
  explicit RetryBudget(double share = 0.1, double reserve = 10) : share_(share), reserve_(reserve) {
    *tokens_.lock() = reserve;
  }

  void count_call();
  // False: no repeat now.
  [[nodiscard]] bool take();

 private:
  const double share_;
  const double reserve_;
  Locked<double> tokens_;
};

// How long to pause before attempt number `next` (2 for the first repeat), or nullopt if the call
// must not or need not be repeated. Pure but for the jitter.
[[nodiscard]] std::optional<Duration> pause_before_repeat(const CallResult& result,
                                                          const Request& request, Repeat repeat,
                                                          std::size_t next,
                                                          const RetryPolicy& policy);

// Makes the call by `attempt` until it ends in a way that stands: success, an error that repeating
// cannot help, or no more attempts, budget or time. The last result is returned. An operation
// called ByOperationId must carry an id; every attempt carries the same.
[[nodiscard]] CallResult call_with_retry(const std::function<CallResult(const Request&)>& attempt,
                                         const Request& request, Repeat repeat, RetryBudget& budget,
                                         const RetryPolicy& policy = {});

// The same through a pool.
[[nodiscard]] CallResult call_with_retry(Pool& pool, const Request& request, Repeat repeat,
                                         RetryBudget& budget, Lane lane = Lane::Calls,
                                         const RetryPolicy& policy = {});

}  // namespace common::rpc
