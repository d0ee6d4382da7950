#pragma once

// One TLS session over a connected socket. Never blocks: every call does what it can at once and
// says what it waits for. Used by common/rpc (which polls) and by common/stream (which has a loop).

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/result.hpp"
#include "common/tls/certificate.hpp"
#include "common/tls/context.hpp"

struct ssl_st;

namespace common::tls {

// What one step achieved. At most one of the three flags is set.
struct Progress {
  std::size_t done = 0;     // bytes read or written; a step may do less than was asked
  bool want_read = false;   // call again when the socket is readable
  bool want_write = false;  // call again when the socket is writable
  bool closed = false;      // the peer has ended the session; nothing more will come

  // For handshake(): nothing left to do.
  [[nodiscard]] bool finished() const { return !want_read && !want_write && !closed; }
};

// Movable, used by one thread at a time. Does not own the socket: close it after destroying this.
// The socket may be blocking or not, the calls never wait either way, and never raise SIGPIPE.
//
// After an error the session is dead: destroy it. Errors of the handshake say in one sentence
// whether a certificate has expired (Expired), is foreign or has the wrong name (Unauthenticated),
// or the peer refused ours.
class Connection {
 public:
  // The server's side of `socket`.
  [[nodiscard]] static Result<Connection> accept(ContextPtr context, int socket);
  // The client's side. `server_name` (a DNS name or an IP address, IPv6 without brackets) must be
  // among the names in the server's certificate.
  [[nodiscard]] static Result<Connection> connect(ContextPtr context, int socket,
                                                  const std::string& server_name);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // Repeat until finished().
  [[nodiscard]] Result<Progress> handshake();

  // Reads what has arrived. `done == 0` comes only with a flag set. After a step that filled
  // `into`, ask again or check has_pending(): epoll knows nothing of bytes already taken in.
  [[nodiscard]] Result<Progress> read(std::span<std::byte> into);

  // Writes a prefix of `from` (empty: nothing happens). A repeated call after want_write may pass
  // another address, but must begin with the same bytes and not be shorter.
  [[nodiscard]] Result<Progress> write(std::span<const std::byte> from);

  // Bytes were taken from the socket that read() has not handed out.
  [[nodiscard]] bool has_pending() const;

  // 32 bytes that only the two ends of this session can know (RFC 8446 exporter): what a ticket's
  // proof is bound to, so that it cannot be used over another session. `label` distinguishes uses
  // and is part of the protocol.
  [[nodiscard]] Result<std::array<std::byte, 32>> export_key(std::string_view label) const;

  // The certificate that the peer has proved to own; nullopt if it showed none. Decodes on each
  // call: ask once per session.
  [[nodiscard]] std::optional<PeerCertificate> peer_certificate() const;

  // Tells the peer that nothing more will come. Sent at most once, best effort, never waited for.
  void close_notify() noexcept;

  // Gives back the record buffers (some 34 KiB) of a session that will now be idle; the next read
  // or write takes them again. With bytes pending it does nothing.
  void release_buffers() noexcept;

 private:
  struct Free {
    void operator()(ssl_st* session) const noexcept;
  };
  Connection(ContextPtr context, std::unique_ptr<ssl_st, Free> session, std::string server_name);
  static Result<Connection> make(ContextPtr context, int socket, std::string server_name);
  Result<Progress> outcome(int returned, const char* doing);

  ContextPtr context_;
  std::unique_ptr<ssl_st, Free> session_;
  std::string server_name_;  // empty on the server's side
  bool close_sent_ = false;
  bool failed_ = false;
};

}  // namespace common::tls
