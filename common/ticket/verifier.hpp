#pragma once

// The service's side: who is calling on this connection. Asks nobody; touches memory only.

#include <string>
#include <vector>

#include "common/bytes.hpp"
#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/ticket/seal.hpp"

namespace common::ticket {

// Who somebody proved to be.
struct Identity {
  Principal client;
  std::uint32_t client_kvno = 0;
  TicketId ticket{};  // for audit; says nothing about the ticket's content
  Validity validity;
  std::uint64_t directory = 0;
  std::vector<PrincipalId> groups;  // ascending; all of which the client was a member

  [[nodiscard]] bool in_group(PrincipalId group) const;
};

// What an opened and proven ticket says of its holder. Its session key is gone afterwards.
Identity identity_of(TicketBody body);

// What a service does with an AP request that it accepts.
struct Accepted {
  Identity identity;
  Bytes reply;                    // to be sent back: our own proof
  crypto::Secret connection_key;  // what further streams of this session are bound to
};

// Accepts AP requests for one service. Safe from any thread; never blocks but for the moment in
// which keys are replaced.
class Verifier {
 public:
  // Refuses everything until keys are set. The clock outlives the verifier.
  Verifier(std::string cell, std::string service, const Clock& clock)
      : opener_(std::move(cell), std::move(service)), clock_(clock) {}

  // As TicketOpener::set_keys: at start, and whenever the keytab has changed.
  Status set_keys(const Keytab& keytab) { return opener_.set_keys(keytab); }

  // The first request of a connection, with that connection's exporter value. Failures are
  // refused() for whatever is wrong before the proof is right, then Expired, or Unauthenticated
  // with a sentence about clocks.
  [[nodiscard]] Result<Accepted> accept(ByteView request, const Channel& channel) const;

  // A further one on a connection that speaks for `current` already: PermissionDenied if it is for
  // somebody else, Stale if it ends before the session does.
  [[nodiscard]] Result<Accepted> accept_again(ByteView request, const Channel& channel,
                                              const Identity& current) const;

  // Whether a session's ticket is still good; Expired if not. Cheap enough for every call.
  [[nodiscard]] Status check_session(const Identity& identity) const;
  // How much longer it is, if this machine's clock goes on as it does; zero if it has ended.
  [[nodiscard]] Duration session_left(const Identity& identity) const;

  [[nodiscard]] const TicketOpener& opener() const { return opener_; }

 private:
  TicketOpener opener_;
  const Clock& clock_;
};

}  // namespace common::ticket
