#include "kdc/audit_chain.hpp"

#include "common/crypto/hash.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/log/escape.hpp"
#include "common/wire/binary.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

void make_safe(std::string& text) {
  std::string safe;
  common::log::append_escaped(safe, text, common::log::Quoting::Quoted, kMostAuditText);
  text = std::move(safe);
}

}  // namespace

AuditRecord made_safe(AuditRecord record) {
  for (std::string* text : {&record.event, &record.actor_name, &record.subject, &record.source,
                            &record.outcome, &record.details})
    make_safe(*text);
  return record;
}

Result<Bytes> audit_hash(const common::crypto::Secret& key, ByteView previous,
                         const AuditRecord& record) {
  common::wire::BinaryWriter writer;
  writer.u8(1).bytes(previous).u64(record.seq);
  writer.u64(static_cast<std::uint64_t>(to_number(record.at))).text(record.event);
  writer.u32(record.actor.value).text(record.actor_name).text(record.subject);
  writer.text(record.source).text(record.outcome).u64(record.times).text(record.details);
  TROTH_TRY(const auto digest, common::crypto::hmac_sha256(key.bytes(), writer.view()));
  return Bytes(digest.begin(), digest.end());
}

Status append_audit(common::db::WriteTx& tx, const common::crypto::Secret& key,
                    AuditRecord record) {
  TROTH_FAILPOINT_TRY("kdc.audit.append");
  record = made_safe(std::move(record));
  Bytes previous;
  {
    TROTH_TRY(auto head, tx.query("SELECT head_seq, head_hash FROM cell"));
    TROTH_TRY(const bool found, head.step());
    if (!found)
      return fail(ErrorCode::Internal, "the database has no contents yet");
    record.seq = head.column_uint64(0) + 1;
    const ByteView hash = head.column_blob(1);
    previous.assign(hash.begin(), hash.end());
  }
  TROTH_TRY(const Bytes hash, audit_hash(key, previous, record));
  TROTH_TRY_VOID(tx.run("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                        record.seq, to_number(record.at), record.event, record.actor.value,
                        record.actor_name, record.subject, record.source, record.outcome,
                        record.times, record.details, ByteView(hash)));
  return tx.run("UPDATE cell SET head_seq = ?1, head_hash = ?2", record.seq, ByteView(hash));
}

}  // namespace kdc
