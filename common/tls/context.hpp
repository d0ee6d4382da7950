#pragma once

// What a TLS session starts from: our certificate and key, and the authority that we believe.
//
// Every session of a cell is TLS 1.3 with X25519 or P-256, without tickets, early data or
// renegotiation. A Context never changes: renewing a certificate makes a new one, and sessions
// already running keep the one they began with.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/sync/locked.hpp"

// OpenSSL's own type; its headers stay in the .cpp files of this folder.
struct ssl_ctx_st;

namespace common::tls {

enum class ClientCertificates {
  None,      // clients prove themselves above TLS, or not at all
  Optional,  // asked for; one from a foreign authority ends the handshake, none is fine
  Required,
};

// What is received over it. TLS's own buffers are given back unwiped; for secrets they are wiped,
// which costs a seventh of what reading costs (README.md).
enum class Content : std::uint8_t { Data, Secrets };

// Paths of PEM files. `certificate` may hold intermediates after the leaf.
struct ServerOptions {
  std::string certificate;
  std::string key;
  std::string ca;  // who issues our own and the clients' certificates
  ClientCertificates client_certificates = ClientCertificates::None;
  Content content = Content::Data;
};

struct ClientOptions {
  std::string ca;
  std::string certificate;  // both or neither
  std::string key;
  Content content = Content::Data;
};

class Context;
using ContextPtr = std::shared_ptr<const Context>;

// Both read their files at once (blocking) and refuse, naming file and reason in one sentence: an
// unreadable file, a key that does not belong to the certificate, a certificate that has expired
// or that `ca` did not issue. So a server with a useless certificate fails when it starts and not
// when somebody calls.
[[nodiscard]] Result<ContextPtr> make_server(const ServerOptions& options);
[[nodiscard]] Result<ContextPtr> make_client(const ClientOptions& options);

// A client that checks nothing, for the one moment in which a machine does not know its cell yet:
// to ask for the authority's certificate, which a person then compares. Nothing else that comes
// over such a session may be believed, and nothing secret may be sent.
[[nodiscard]] Result<ContextPtr> make_client_that_believes_nobody();

// Immutable, safe from any thread.
class Context {
 public:
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // When our own certificate runs out; WallTime::max() for a client without one.
  [[nodiscard]] WallTime not_after() const { return not_after_; }
  [[nodiscard]] bool is_server() const { return is_server_; }
  [[nodiscard]] ClientCertificates client_certificates() const { return client_certificates_; }

  // For Connection and for tests only.
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }

 private:
  friend Result<ContextPtr> make_server(const ServerOptions& options);
  friend Result<ContextPtr> make_client(const ClientOptions& options);
  friend Result<ContextPtr> make_client_that_believes_nobody();
  Context(ssl_ctx_st* context, bool is_server);

  ssl_ctx_st* context_;  // owned
  bool is_server_;
  ClientCertificates client_certificates_ = ClientCertificates::None;
  WallTime not_after_ = WallTime::max();
};

// The context that new sessions use, exchanged as a whole. Safe from any thread.
class ReloadableContext {
 public:
  using Maker = std::function<Result<ContextPtr>()>;

  // Calls `maker` once; `maker` must stay callable from any thread for as long as this lives.
  [[nodiscard]] static Result<std::unique_ptr<ReloadableContext>> make(Maker maker);

  [[nodiscard]] ContextPtr current() const;

  // Makes a new context from the same source (reads files). On failure the old one stays in use
  // and the error says why.
  [[nodiscard]] Status reload();

 private:
  ReloadableContext(Maker maker, ContextPtr first);

  Maker maker_;
  mutable Locked<ContextPtr> current_;
};

}  // namespace common::tls
