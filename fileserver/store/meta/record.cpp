#include "fileserver/store/meta/record.hpp"

#include <cerrno>

#include "common/crypto/hash.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

constexpr std::uint32_t kMagic = 0x54524331;  // "TRC1"
constexpr std::size_t kDigestBytes = 32;

Status read_header(BinaryReader& in, CommitRecord& record) {
  TROTH_TRY(const std::uint32_t magic, in.u32());
  if (magic != kMagic)
    return fail(ErrorCode::Protocol, "this is no commit record");
  TROTH_TRY(record.seq.value, in.u64());
  TROTH_TRY(record.previous.value, in.u64());
  TROTH_TRY(record.epoch.value, in.u64());
  TROTH_TRY(const std::uint64_t time, in.u64());
  record.time = static_cast<std::int64_t>(time);
  TROTH_TRY(record.principal, in.u64());
  TROTH_TRY(record.session.value, in.u64());
  TROTH_TRY(const bool has_key, in.boolean());
  if (has_key) {
    OperationKey key;
    TROTH_TRY_VOID(in.fixed(std::span(key.mount.bytes)));
    TROTH_TRY(key.number, in.u64());
    record.key = key;
  }
  return {};
}

}  // namespace

Status check_name(std::string_view name) {
  if (name.empty() || name == "." || name == "..")
    return fail(ErrorCode::InvalidArgument, "\"{}\" cannot be the name of a file", name);
  if (name.size() > kMaxName)
    return fail_posix(ENAMETOOLONG, "a name has at most {} bytes, this one {}", kMaxName,
                      name.size());
  if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos)
    return fail(ErrorCode::InvalidArgument, "a name holds neither '/' nor NUL");
  return {};
}

Bytes encode_record(const CommitRecord& record) {
  BinaryWriter out;
  out.u32(kMagic).u64(record.seq.value).u64(record.previous.value).u64(record.epoch.value);
  out.u64(static_cast<std::uint64_t>(record.time)).u64(record.principal).u64(record.session.value);
  out.boolean(record.key.has_value());
  if (record.key)
    out.fixed(record.key->mount.bytes).u64(record.key->number);
  out.u32(static_cast<std::uint32_t>(record.operations.size()));
  for (const Operation& operation : record.operations)
    encode_operation(operation, Tails::Included, out);
  // Without a digest a reader refuses the record; hashing fails only without memory.
  if (const auto digest = common::crypto::sha256(out.view()))
    out.fixed(*digest);
  return out.take();
}

Result<CommitRecord> decode_record(ByteView bytes) {
  if (bytes.size() > kMaxRecordBytes || bytes.size() < kDigestBytes)
    return fail(ErrorCode::Protocol, "a commit record has {} bytes", bytes.size());
  const ByteView body = bytes.first(bytes.size() - kDigestBytes);
  TROTH_TRY(const auto digest, common::crypto::sha256(body));
  if (!common::crypto::constant_time_equal(digest, bytes.last(kDigestBytes)))
    return fail(ErrorCode::Protocol, "a commit record is damaged: its digest is not its own");
  BinaryReader in(body);
  CommitRecord record;
  TROTH_TRY_VOID(read_header(in, record));
  TROTH_TRY(const std::uint32_t count, in.u32());
  if (count > kMaxOperations)
    return fail(ErrorCode::Protocol, "a commit record has {} operations", count);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(Operation operation, decode_operation(in, Tails::Included));
    record.operations.push_back(std::move(operation));
  }
  TROTH_TRY_VOID(in.finish());
  return record;
}

}  // namespace fileserver::store
