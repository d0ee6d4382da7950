#pragma once

// One key for one purpose: the labels of PROTOCOL.md, and nothing else derives.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::ticket {

// Of long-term keys and of session keys.
inline constexpr std::size_t kKeyBytes = 32;

// What ties a proof to one connection: the TLS exporter value of its two ends.
using Channel = std::array<std::byte, 32>;

enum class Purpose : std::uint8_t {
  Ticket,      // from a service's key: seals tickets for it
  AsRequest,   // from a principal's key: the client's proof
  AsReply,     // from a principal's key: seals the reply
  TgsRequest,  // from a TGT's session key
  TgsReply,    // from a TGT's session key
  ApRequest,   // from a ticket's session key: the client's proof
  ApReply,     // from a ticket's session key: the service's proof
  Connection,  // from a ticket's session key and the channel
  Proof,       // from a ticket's session key: proofs that travel
  Database,    // from the master key: long-term keys in the database
  Decoy,       // from the database's secret: answers about principals that do not exist
};

// "troth ticket v1", …
std::string_view label(Purpose purpose);

// The keys of one master. `name` is the principal or service that the master belongs to: of a
// session key, the ticket's service. Immutable: any thread may derive.
class Keys {
 public:
  // InvalidArgument unless the master has kKeyBytes.
  static Result<Keys> of(const crypto::Secret& master, std::string_view cell,
                         std::string_view name);

  // `more` is what the key depends on beside cell and name: the channel for Purpose::Connection,
  // empty for every other purpose on the wire.
  [[nodiscard]] Result<crypto::Secret> key(Purpose purpose, ByteView more = {}) const;

 private:
  Keys(crypto::KeyDeriver deriver, std::string context)
      : deriver_(std::move(deriver)), context_(std::move(context)) {}
  crypto::KeyDeriver deriver_;
  std::string context_;  // cell, NUL, name
};

// Keys::of and key in one.
Result<crypto::Secret> derive(const crypto::Secret& master, Purpose purpose, std::string_view cell,
                              std::string_view name, ByteView more = {});

// A fresh long-term or session key.
Result<crypto::Secret> new_key();

}  // namespace common::ticket
