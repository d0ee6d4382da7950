#pragma once

// The audit log's records and how they hang together: each holds an HMAC over itself and the one
// before, under a key that only somebody with the master key has. So nobody can change, remove or
// insert one and make the rest fit; cutting off the end shows in the head that `cell` keeps.

#include <string>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/db/transaction.hpp"
#include "kdc/types.hpp"

namespace kdc {

// Texts are escaped when they are written (one line, no controls, valid UTF-8) and cut to
// kMostAuditText.
struct AuditRecord {
  std::uint64_t seq = 0;  // given by the log
  Time at{};              // likewise
  std::string event;      // "user.add", "as", "tgs"
  Id actor;
  std::string actor_name;
  std::string subject;
  std::string source;
  std::string outcome;      // "ok" or the name of an error code
  std::uint64_t times = 1;  // as many like this one
  std::string details;
};
inline constexpr std::size_t kMostAuditText = 512;

inline constexpr std::string_view kAuditOk = "ok";

// Escapes and bounds all texts.
AuditRecord made_safe(AuditRecord record);

// HMAC over `previous` and the record. The texts are hashed as they are stored.
common::Result<common::Bytes> audit_hash(const common::crypto::Secret& key,
                                         common::ByteView previous, const AuditRecord& record);

// Appends within the caller's transaction; its failure must fail the transaction.
common::Status append_audit(common::db::WriteTx& tx, const common::crypto::Secret& key,
                            AuditRecord record);

}  // namespace kdc
