#pragma once

// The client's side of the exchanges with the KDC: a password or keytab becomes a ticket-granting
// ticket, and that becomes tickets for services.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "common/rpc/client.hpp"
#include "common/sync/locked.hpp"
#include "common/ticket/exchange.hpp"
#include "common/ticket/keytab.hpp"

namespace common::auth {

// What is asked for when somebody logs in and says nothing else; the policy may give less.
inline constexpr std::chrono::hours kDefaultRenewable{7 * 24};

struct KdcAddress {
  std::string host;
  std::uint16_t port = 0;
};

struct KdcOptions {
  std::string cell;  // its id; certificates and tickets must name it
  std::vector<KdcAddress> servers;
  std::shared_ptr<tls::ReloadableContext> tls;  // believes the cell's authority only
};

// Safe from any thread. Each exchange has a connection for itself, which the next one uses again:
// one is kept, shared by copies, until the KDC ends it. Everything blocks until `deadline` at most.
//
// Failures: Unavailable (no KDC could be reached; names the address), Unauthenticated (the KDC does
// not take the key: unknown name, wrong password and wrong keytab are one), PermissionDenied
// (disabled, by policy), Expired, Overloaded and ResourceExhausted (too many attempts; retry_after
// says when).
class KdcClient {
 public:
  explicit KdcClient(KdcOptions options) : options_(std::move(options)) {}

  // AS with a password. The key is computed here, with the salt and parameters that the KDC names,
  // and not at all if those are weaker than ours or not for this cell and client (Protocol).
  // `wanted.cell` is filled in.
  [[nodiscard]] Result<ticket::Credential> login(ticket::AsWanted wanted,
                                                 const crypto::Secret& password,
                                                 Instant deadline) const;
  // AS with the newest key of a keytab; client and kvno are the keytab's.
  [[nodiscard]] Result<ticket::Credential> login(ticket::AsWanted wanted,
                                                 const ticket::Keytab& keytab,
                                                 Instant deadline) const;
  // TGS: a ticket for `wanted.service`, or the TGT renewed.
  [[nodiscard]] Result<ticket::Credential> ticket(const ticket::TgsWanted& wanted,
                                                  const ticket::Credential& tgt,
                                                  Instant deadline) const;

  // Connections to the KDC for operations that need a session; `authenticate` proves it.
  [[nodiscard]] rpc::ClientOptions client_options(std::size_t server,
                                                  rpc::Authenticate authenticate = {}) const;

  // A connection to the first server that answers, on which the caller has proven himself: the one
  // that is kept, if there is one.
  [[nodiscard]] Result<std::unique_ptr<rpc::Client>> connect(
      Instant deadline, const rpc::Authenticate& authenticate) const;

  [[nodiscard]] const KdcOptions& options() const { return options_; }

 private:
  using Connection = std::unique_ptr<rpc::Client>;
  enum class Repeat : std::uint8_t { IfKept, Always };

  [[nodiscard]] Result<Connection> dial(Instant deadline,
                                        const rpc::Authenticate& authenticate = {}) const;
  // The connection that is kept, if it is still good; else none.
  [[nodiscard]] Connection take_kept() const;
  template <typename Use>
  [[nodiscard]] auto over_connection(Instant deadline, Repeat repeat, Use use) const
      -> decltype(use(std::declval<rpc::Client&>()));
  [[nodiscard]] Result<ticket::Credential> password_exchange(rpc::Client& client,
                                                             const ticket::AsWanted& wanted,
                                                             const crypto::Secret& password,
                                                             Instant deadline) const;
  [[nodiscard]] Result<ticket::Credential> as_exchange(rpc::Client& client,
                                                       const ticket::AsWanted& wanted,
                                                       const crypto::Secret& key,
                                                       Instant deadline) const;
  KdcOptions options_;
  std::shared_ptr<Locked<Connection>> kept_ = std::make_shared<Locked<Connection>>();
};

}  // namespace common::auth
