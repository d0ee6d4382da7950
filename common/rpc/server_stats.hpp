#pragma once

// What a server counts: one list, once as atomics to count in and once as values to look at.

#include <atomic>
#include <cstdint>

namespace common::rpc {

// X(name, help)
#define TROTH_RPC_SERVER_COUNTS(X)                                     \
  X(accepted, "Connections accepted")                                  \
  X(handshakes, "TLS handshakes completed")                            \
  X(handshake_failures, "TLS handshakes failed")                       \
  X(refused_per_address, "Connections closed for the cap per address") \
  X(refused_in_all, "Connections closed for the cap in all")           \
  X(accept_failures, "Failures of accept that were survived")          \
  X(cut_handshake, "Connections cut: handshake overstayed")            \
  X(cut_head, "Connections cut: request head overstayed")              \
  X(cut_body, "Connections cut: request body overstayed")              \
  X(cut_reply, "Connections cut: reply overstayed")                    \
  X(cut_idle, "Connections closed: idle")                              \
  X(shed, "Idle connections closed to make room")                      \
  X(calls, "Calls handed to an operation")                             \
  X(errors, "Calls answered with an error by their operation")         \
  X(refusals, "Requests refused before an operation ran")              \
  X(overloaded, "Calls refused for load")                              \
  X(parked, "Times a call was parked")                                 \
  X(woken, "Parked calls run again: woken")                            \
  X(woken_by_deadline, "Parked calls run again: deadline")             \
  X(woken_by_hang_up, "Parked calls run again: caller hung up")        \
  X(woken_by_stop, "Parked calls run again: server stops")             \
  X(exceptions, "Exceptions that left an operation")                   \
  X(out_of_memory, "Connections closed because memory was short")      \
  X(bytes_in, "Request bytes, decrypted")                              \
  X(bytes_out, "Reply bytes, before encryption")

struct ServerStats {
#define TROTH_RPC_FIELD(name, help) std::uint64_t name = 0;
  TROTH_RPC_SERVER_COUNTS(TROTH_RPC_FIELD)
#undef TROTH_RPC_FIELD
  std::uint64_t connections = 0;   // open now
  std::uint64_t threads = 0;       // running now
  std::uint64_t threads_busy = 0;  // not waiting for work
  std::uint64_t collected_bytes = 0;
  std::uint64_t parked_now = 0;  // calls that wait without a thread
};

struct ServerCounters {
#define TROTH_RPC_FIELD(name, help) std::atomic<std::uint64_t> name{0};
  TROTH_RPC_SERVER_COUNTS(TROTH_RPC_FIELD)
#undef TROTH_RPC_FIELD

  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
    counter.fetch_add(by, std::memory_order_relaxed);
  }
  void copy_to(ServerStats& stats) const {
#define TROTH_RPC_FIELD(name, help) stats.name = name.load(std::memory_order_relaxed);
    TROTH_RPC_SERVER_COUNTS(TROTH_RPC_FIELD)
#undef TROTH_RPC_FIELD
  }
};

}  // namespace common::rpc
