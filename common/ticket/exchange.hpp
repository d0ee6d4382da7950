#pragma once

// The AS and TGS exchanges, both sides. Pure: bytes, keys and a time in; bytes out.
//
//   client                                        KDC
//   begin_as(…)  -> request  ------------------>  decode_as_request, check_as_proof
//   finish_as(…) <- reply    <------------------  make_as_reply
//
// and the same for TGS. `channel` is the exporter value of the TLS connection that carries the
// exchange: on any other connection the proof is worth nothing.

#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/result.hpp"
#include "common/ticket/credential.hpp"
#include "common/ticket/messages.hpp"
#include "common/ticket/seal.hpp"

namespace common::ticket {

// ---- the client's side

struct AsWanted {
  std::string cell;
  std::string client;
  std::string service = std::string(kTgsService);
  std::uint32_t client_kvno = 0;  // 0: the newest; a keytab names its own
  Milliseconds life{};            // 0: as long as the policy gives
  Milliseconds renew{};           // 0: not renewable
};

// A request to be sent on that channel only. `client_key` is the long-term key.
Result<Bytes> begin_as(const AsWanted& wanted, const crypto::Secret& client_key,
                       const Channel& channel);
// The credential in the reply to that request, once everything about it is right; refused()
// otherwise. `received` is the boot clock's instant at which the reply arrived.
Result<Credential> finish_as(const AsWanted& wanted, const crypto::Secret& client_key,
                             ByteView request, ByteView reply, Instant received);

struct TgsWanted {
  std::string service;
  Milliseconds life{};  // 0: as long as the policy gives
  bool renew = false;   // of the TGT itself: service is kdc/tgs
};

Result<Bytes> begin_tgs(const TgsWanted& wanted, const Credential& tgt, const Channel& channel);
Result<Credential> finish_tgs(const TgsWanted& wanted, const Credential& tgt, ByteView request,
                              ByteView reply, Instant received);

// ---- the KDC's side

// Whether `request` (decoded from `bytes`) was made with that key for that channel; refused()
// if not. Takes the same time whatever differs.
Status check_as_proof(const crypto::Secret& client_key, const AsRequest& request, ByteView bytes,
                      const Channel& channel);
// The reply that carries `ticket` and, for whoever has the client's key, `grant`.
Result<Bytes> make_as_reply(const crypto::Secret& client_key, ByteView request, ByteView ticket,
                            std::string_view cell, const Grant& grant);

struct AcceptedTgs {
  TicketBody tgt;
  TgsRequest request;  // its views lie in the bytes that were given
};

// The TGS request if its ticket opens (`tgs` is an opener for kdc/tgs), its proof is right and the
// TGT is good at `now`. refused() for everything before the proof, then as check_times.
Result<AcceptedTgs> accept_tgs(const TicketOpener& tgs, ByteView bytes, const Channel& channel,
                               Time now);
Result<Bytes> make_tgs_reply(const TicketBody& tgt, ByteView request, ByteView ticket,
                             std::string_view cell, const Grant& grant);

}  // namespace common::ticket
