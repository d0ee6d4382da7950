#pragma once

// Accepts connections and shakes hands with them, in threads of its own, so that strangers who dial
// cost the calls of others nothing but the CPU that is left. Internal to the server.
//
// There are half as many of these threads as cores, and the scheduler prefers everybody else to
// them: a handshake is 0.4 ms of arithmetic that anybody can ask for, and a call should not wait
// for the core it takes. Who waits for a handshake waits in a HandshakeQueue, fair by address.

#include <cstddef>
#include <cstdint>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/rpc/connection_table.hpp"
#include "common/rpc/handshake_queue.hpp"
#include "common/rpc/worker_threads.hpp"
#include "common/sync/mutex.hpp"

namespace common::rpc {

class Reception {
 public:
  // `epoll` is the set in which the table parks connections of the handshake phase. All must
  // outlive this. `stop_event` becomes readable for good when the server stops.
  Reception(ServerShared& shared, ConnectionTable& table, int listener, int epoll, int stop_event);

  Status start();
  void join() { threads_.join_all(); }  // after stop_event

 private:
  void thread_main();
  void collect() EXCLUDES(mutex_);
  void enqueue(std::uint64_t id) EXCLUDES(mutex_);
  void serve(std::uint64_t id);
  void serve_until_parked(ServerConnection& connection);
  void accept_some();
  void rearm_listener();

  ServerShared& shared_;
  ConnectionTable& table_;
  const int listener_;
  const int epoll_;
  const int stop_event_;

  Mutex mutex_;
  CondVar changed_;
  HandshakeQueue queue_ GUARDED_BY(mutex_);
  bool collecting_ GUARDED_BY(mutex_) = false;  // a thread waits for, or takes in, what is ready
  bool stopped_ GUARDED_BY(mutex_) = false;
  Instant accept_again_ = Instant::max();  // the collecting thread's: accepting pauses until then
  WorkerThreads threads_;
};

}  // namespace common::rpc
