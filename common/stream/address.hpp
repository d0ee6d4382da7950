#pragma once

// Socket addresses of this folder: numeric only, since looking a name up may block for seconds.
// Internal to common/stream.

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "common/result.hpp"
#include "common/stream/admission.hpp"

namespace common::stream {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// `host` is an IPv4 or IPv6 address without brackets; anything else is InvalidArgument.
Result<SocketAddress> parse_address(const std::string& host, std::uint16_t port);
// Address without port, for people and logs.
std::string host_text(const SocketAddress& address);
std::uint16_t port_of(const SocketAddress& address);
AddressKey address_key(const SocketAddress& address);

// TCP_NODELAY, and keep-alive probes after 30 s of silence, so that a peer that vanished without a
// word is noticed even between renewals.
void set_stream_options(int socket);

}  // namespace common::stream
