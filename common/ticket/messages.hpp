#pragma once

// Every message of kdc/PROTOCOL.md as a plain struct, with the one decoder and the one encoder of
// each. No cryptography here: what was decoded has the right form, and nothing more is known of it.
//
// A decoder consumes its input exactly, refuses what it does not know (version, type, flag, count,
// form of a name) with Protocol, and allocates nothing before a length is checked. Views in a
// decoded message lie in the input. An encoder refuses (InvalidArgument) what its decoder would,
// so that nothing we make is refused by ourselves. Each value has exactly one encoding.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "common/ticket/keys.hpp"
#include "common/ticket/principal.hpp"
#include "common/ticket/time.hpp"

namespace common::ticket {

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::size_t kMaxTicketBytes = 16384;
inline constexpr std::size_t kMaxSealedTicket = 8192;
inline constexpr std::size_t kMaxSealedGrant = 1024;
inline constexpr std::size_t kMaxGroups = 1024;
// The longest message of all is a reply of the KDC; a server's body limit for all exchanges.
inline constexpr std::size_t kMaxMessageBytes = kMaxTicketBytes + kMaxSealedGrant + 16;

using Nonce = std::array<std::byte, 16>;
using TicketId = std::array<std::byte, 16>;
using Mac = crypto::Digest;

// From when to when, and from what.
struct Validity {
  Time authenticated{};  // when the client proved a long-term key
  Time start{};
  Time end{};                      // the first moment at which it is no longer good
  std::optional<Time> renew_till;  // present in renewable tickets only
  bool initial = false;            // came from a long-term key, not from a TGT
  friend bool operator==(const Validity&, const Validity&) = default;
};

// What everybody can read of a ticket.
struct TicketView {
  std::string_view cell;
  std::string_view service;
  std::uint32_t kvno = 0;
  ByteView sealed;
  ByteView associated;  // every byte before the sealed part and its length
};

// What is sealed in a ticket, for its service alone.
struct TicketBody {
  TicketId id{};
  crypto::Secret session_key;
  Principal client;
  std::uint32_t client_kvno = 0;
  Validity validity;
  std::uint64_t directory = 0;      // state of the directory that the groups were read from
  std::vector<PrincipalId> groups;  // ascending, no repetition, at most kMaxGroups
};

// What is sealed in a reply of the KDC, for the client alone.
struct Grant {
  crypto::Secret session_key;
  Principal client;
  std::string service;
  std::uint32_t kvno = 0;  // of the key that the ticket is sealed with
  Validity validity;
  Time kdc_now{};
  std::optional<Time> password_end;
  bool raise_parameters = false;    // the key was made with weaker parameters than the policy asks
  bool password_ends_soon = false;  // within 14 days
};

struct AsRequest {
  std::string_view cell;
  std::string_view client;
  std::string_view service;
  std::uint32_t client_kvno = 0;  // 0: the newest
  Milliseconds life{};
  Milliseconds renew{};
  Nonce nonce{};
  Mac proof{};
  friend bool operator==(const AsRequest&, const AsRequest&) = default;
};

struct TgsRequest {
  ByteView ticket;  // the TGT
  std::string_view service;
  Milliseconds life{};
  bool renew = false;
  Nonce nonce{};
  Mac proof{};
};

// Of AS and of TGS.
struct KdcReply {
  ByteView ticket;
  ByteView sealed;  // a Grant
};

struct ApRequest {
  ByteView ticket;
  Nonce nonce{};
  Mac proof{};
};

struct ApReply {
  Nonce nonce{};  // the request's
  Time now{};     // by the service's clock
  Time end{};     // of the session
  Mac proof{};
};

struct TravellingProof {
  ByteView ticket;
  Time made{};
  Nonce nonce{};
  crypto::Digest content{};
  Mac mac{};
};

Result<TicketView> decode_ticket(ByteView input);
Result<AsRequest> decode_as_request(ByteView input);
Result<TgsRequest> decode_tgs_request(ByteView input);
Result<KdcReply> decode_as_reply(ByteView input);
Result<KdcReply> decode_tgs_reply(ByteView input);
Result<ApRequest> decode_ap_request(ByteView input);
Result<ApReply> decode_ap_reply(ByteView input);
Result<TravellingProof> decode_travelling_proof(ByteView input);
// The plaintexts of seals. The caller wipes its input.
Result<TicketBody> decode_ticket_body(ByteView input);
Result<Grant> decode_grant(ByteView input);

// `sealed` and the other four fields; `associated` is what encode_ticket_head gave.
Result<Bytes> encode_ticket_head(std::string_view cell, std::string_view service,
                                 std::uint32_t kvno);
Result<Bytes> encode_ticket(ByteView head, ByteView sealed);
Result<Bytes> encode_as_request(const AsRequest& request);
Result<Bytes> encode_tgs_request(const TgsRequest& request);
Result<Bytes> encode_as_reply(const KdcReply& reply);
Result<Bytes> encode_tgs_reply(const KdcReply& reply);
Result<Bytes> encode_ap_request(const ApRequest& request);
Result<Bytes> encode_ap_reply(const ApReply& reply);
Result<Bytes> encode_travelling_proof(const TravellingProof& proof);
// Into memory for secrets: written from the beginning of `out`; returns how many bytes they are.
Result<std::size_t> encode_ticket_body(const TicketBody& body, std::span<std::byte> out);
Result<std::size_t> encode_grant(const Grant& grant, std::span<std::byte> out);

// In every message with a proof the proof is the last 32 bytes, and covers all before it.
inline ByteView before_proof(ByteView message) {
  return message.first(message.size() - sizeof(Mac));
}

}  // namespace common::ticket
