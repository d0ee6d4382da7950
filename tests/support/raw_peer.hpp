#pragma once

// A peer that says exactly the bytes a test wants, over TCP or TLS: a client from a loopback
// address of its choice, or the server's side. For what no honest peer would send.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"
#include "common/tls/connection.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

// One thread at a time. Every call ends at its deadline.
class RawPeer {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kPatience = test_support::kPatience;

  // TCP only.
  static common::Result<RawPeer> dial(std::uint16_t port, const std::string& from = "",
                                      Milliseconds patience = kPatience);
  // TCP and the TLS handshake, expecting the certificate of "127.0.0.1".
  static common::Result<RawPeer> dial_tls(std::uint16_t port, common::tls::ContextPtr context,
                                          const std::string& from = "",
                                          Milliseconds patience = kPatience);

  // The server's side of an accepted socket, after the handshake.
  static common::Result<RawPeer> accept_tls(common::UniqueFd socket,
                                            common::tls::ContextPtr context,
                                            Milliseconds patience = kPatience);

  // Writes all of it, or fails: DeadlineExceeded, or the connection's own error.
  common::Status send(std::string_view text, Milliseconds patience = kPatience);
  common::Status send(std::span<const std::byte> data, Milliseconds patience = kPatience);

  // Something that has arrived; an empty string when the peer has closed or reset the connection.
  common::Result<std::string> read_some(Milliseconds patience = kPatience);
  // Everything until the peer closes.
  common::Result<std::string> read_to_end(Milliseconds patience = kPatience);
  // Until `count` bytes have arrived or the peer has closed.
  common::Result<std::string> read_bytes(std::size_t count, Milliseconds patience = kPatience);
  // One HTTP/1.1 reply with a Content-Length, head and body; what is there when the peer closes.
  // Bytes behind it stay for the next call.
  common::Result<std::string> read_reply(Milliseconds patience = kPatience);

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] common::tls::Connection* tls() { return tls_ ? &*tls_ : nullptr; }
  // Sends what the next bytes of TLS would be, straight to the socket.
  common::Status send_below_tls(std::string_view text);
  // Resets the connection instead of closing it.
  void reset();

 private:
  common::Status shake_hands(Milliseconds patience);
  common::Result<std::string> take(Milliseconds patience, std::size_t at_least, bool to_end);

  common::UniqueFd socket_;
  std::optional<common::tls::Connection> tls_;  // after socket_: must go first
  std::string held_;                            // read, not yet handed out
};

}  // namespace test_support
