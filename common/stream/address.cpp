#include "common/stream/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace common::stream {

Result<SocketAddress> parse_address(const std::string& host, std::uint16_t port) {
  SocketAddress address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return fail(ErrorCode::InvalidArgument, "\"{}\" is not a numeric IPv4 or IPv6 address", host);
}

std::string host_text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  const void* raw = address.storage.ss_family == AF_INET6 ? static_cast<const void*>(&v6.sin6_addr)
                                                          : static_cast<const void*>(&v4.sin_addr);
  const char* written = ::inet_ntop(address.storage.ss_family, raw, text.data(), text.size());
  return written == nullptr ? "unknown" : written;
}

std::uint16_t port_of(const SocketAddress& address) {
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  return ntohs(address.storage.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

AddressKey address_key(const SocketAddress& address) {
  AddressKey key{};
  if (address.storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
    std::memcpy(key.data(), &v6.sin6_addr, mapped ? key.size() : key.size() / 2);
    return key;
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
  key[10] = 0xFF;
  key[11] = 0xFF;
  std::memcpy(key.data() + 12, &v4.sin_addr, 4);
  return key;
}

void set_stream_options(int socket) {
  // None of these can fail on a TCP socket; if one does, the stream works without it.
  const auto set = [socket](int level, int name, int value) {
    (void)::setsockopt(socket, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace common::stream
