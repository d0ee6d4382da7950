#pragma once

// The few things this folder does with sockets. Numeric addresses; only dial() takes names.

#include <chrono>
#include <cstdint>
#include <string>

#include "common/clock.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::rpc {

struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;
};

// A non-blocking listening socket with TCP_NODELAY, which accepted sockets inherit.
[[nodiscard]] Result<Listener> listen_on(const std::string& address, std::uint16_t port);

// True for 127.0.0.0/8 and ::1.
[[nodiscard]] bool is_loopback(const std::string& address);

// Where a connection comes from.
struct Origin {
  std::string address;   // numeric, for people
  std::string cap_unit;  // what the cap per address counts: an IPv4 address, an IPv6 /64
};
[[nodiscard]] Origin origin_of(const void* socket_address);

// The clock of all deadlines in this folder. (One process-wide instance: reading it has no state.)
[[nodiscard]] Instant now();

enum class Ready { Yes, Timeout, Cancelled };

// Waits until `fd` shows one of `events` (or an error or hang-up), `deadline` passes, or, with
// `cancel_fd` >= 0, that becomes readable.
[[nodiscard]] Ready wait_for(int fd, short events, Instant deadline, int cancel_fd = -1);

// A connected, non-blocking socket with TCP_NODELAY; tries the addresses of `host` in turn.
// A name that is not numeric is resolved in a thread of its own, within the same deadline.
[[nodiscard]] Result<UniqueFd> dial(const std::string& host, std::uint16_t port, Instant deadline,
                                    int cancel_fd = -1);

}  // namespace common::rpc
