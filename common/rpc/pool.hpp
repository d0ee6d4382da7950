#pragma once

// Connections to one server, shared by many threads: one lane for calls, one for bulk, so that a
// transfer of a gigabyte never stands before a lookup.

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "common/rpc/client.hpp"
#include "common/sync/mutex.hpp"

namespace common::rpc {

enum class Lane : std::uint8_t { Calls, Bulk };

struct PoolOptions {
  ClientOptions client;
  // Most connections at a time; a caller beyond waits for one, within its deadline.
  std::size_t calls = 16;
  std::size_t bulk = 2;
  // Kept open for the next caller; more are closed when they become free.
  std::size_t idle_calls = 4;
  std::size_t idle_bulk = 2;
  // Half of the server's own idle limit: a connection is never used just as the server closes it.
  std::chrono::milliseconds max_idle{30'000};
  // After a failed dial the server counts as down for about this long, and calls fail at once:
  // a thousand waiting callers must not become a thousand dials.
  std::chrono::milliseconds down_for{100};
};

struct PoolStats {
  std::uint64_t calls = 0;
  std::uint64_t dials = 0;
  std::uint64_t failed_dials = 0;
  std::size_t open = 0;  // connections, idle ones included
  std::size_t idle = 0;
};

// Safe from any thread.
class Pool {
 public:
  explicit Pool(PoolOptions options);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();  // no call may be in progress

  // One call, never repeated, over a connection of that lane. Blocks as Client::call does.
  [[nodiscard]] CallResult call(const Request& request, Lane lane = Lane::Calls) EXCLUDES(mutex_);

  // Closes connections that have been idle for longer than max_idle. Calls do it by the way; an
  // owner whose calls may stop for long does it now and then.
  void drop_idle() EXCLUDES(mutex_);

  [[nodiscard]] PoolStats stats() const EXCLUDES(mutex_);

 private:
  struct Idle {
    std::unique_ptr<Client> client;
    Instant since;
  };
  struct LaneState {
    std::vector<Idle> idle;  // the last one was used last
    std::size_t open = 0;
  };
  using Clients = std::vector<std::unique_ptr<Client>>;

  [[nodiscard]] Result<std::unique_ptr<Client>> acquire(const Request& request, Lane lane)
      EXCLUDES(mutex_);
  void release(std::unique_ptr<Client> client, Lane lane) EXCLUDES(mutex_);
  Status dial(Client& client, const Request& request) EXCLUDES(mutex_);
  void take_stale_locked(Clients& into) REQUIRES(mutex_);
  [[nodiscard]] LaneState& state_locked(Lane lane) REQUIRES(mutex_) {
    return lane == Lane::Calls ? calls_ : bulk_;
  }

  const PoolOptions options_;
  mutable Mutex mutex_;
  CondVar freed_;
  LaneState calls_ GUARDED_BY(mutex_);
  LaneState bulk_ GUARDED_BY(mutex_);
  Instant down_until_ GUARDED_BY(mutex_){};
  PoolStats stats_ GUARDED_BY(mutex_);
};

}  // namespace common::rpc
