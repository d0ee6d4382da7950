#pragma once

// The client's side after the KDC: what it holds, and how it shows it to a service.

#include <cstdint>
#include <string>

#include "common/bytes.hpp"
#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "common/ticket/keys.hpp"
#include "common/ticket/messages.hpp"

namespace common::ticket {

// A ticket with its session key. One thread at a time while it is changed; any number may use it.
struct Credential {
  std::string cell;
  Principal client;
  std::string service;
  std::uint32_t kvno = 0;
  Validity validity;
  std::optional<Time> password_end;
  bool raise_parameters = false;
  bool password_ends_soon = false;
  Bytes ticket;
  crypto::Secret session_key;
  // What the KDC's clock showed, and the boot clock's instant at which we learned it. The wall
  // clock of a client matters nowhere.
  Time kdc_now{};
  Instant kdc_now_at{};

  // The KDC's time, measured on by the boot clock. Only within the boot that received it.
  [[nodiscard]] Time kdc_time(Instant now) const;
  [[nodiscard]] bool ended(Instant now) const { return kdc_time(now) >= validity.end; }
  // Half of its life has passed: whoever uses it renews it.
  [[nodiscard]] bool should_be_renewed(Instant now) const;
  [[nodiscard]] Credential clone() const;
};

// The client's half of an AP exchange on one connection.
//
//   auto ap = ApExchange::begin(credential, channel);
//   send ap->request() to <service>/auth;
//   auto session = ap->finish(reply);       // before anything else is sent or believed
class ApExchange {
 public:
  static Result<ApExchange> begin(const Credential& credential, const Channel& channel);

  [[nodiscard]] const Bytes& request() const { return request_; }

  struct Session {
    crypto::Secret connection_key;  // what further streams are bound to
    Time service_now{};             // by the service's clock
    Time end{};                     // of the session
  };
  // Unauthenticated if the reply does not prove that the service could open the ticket: nothing it
  // said or says may then be believed, and the connection is to be closed.
  [[nodiscard]] Result<Session> finish(ByteView reply) const;

 private:
  ApExchange(Keys keys, Channel channel, Bytes request, Nonce nonce, Time end)
      : keys_(std::move(keys)),
        channel_(channel),
        request_(std::move(request)),
        nonce_(nonce),
        end_(end) {}
  Keys keys_;
  Channel channel_;
  Bytes request_;
  Nonce nonce_;
  Time end_;
};

// A proof that travels on: bound to SHA-256 of a request's head and to its content, not to a
// connection. `made` is the KDC's time (Credential::kdc_time). A receiver takes it within five
// minutes and once.
Result<Bytes> make_travelling_proof(const Credential& credential, const crypto::Digest& head,
                                    const crypto::Digest& content, Time made);

}  // namespace common::ticket
