#pragma once

// A commit as it travels and as it is kept: canonical bytes (STORE.md 4). A decoder takes nothing
// that the encoder would not have written.

#include "common/wire/binary.hpp"
#include "fileserver/store/meta/operation.hpp"

namespace fileserver::store {

struct CommitRecord {
  Seq seq;
  Seq previous;
  Epoch epoch;
  std::int64_t time = 0;
  std::uint64_t principal = 0;
  SessionId session;
  std::optional<OperationKey> key;
  std::vector<Operation> operations;  // resolved
  friend bool operator==(const CommitRecord&, const CommitRecord&) = default;
};

inline constexpr std::size_t kMaxRecordBytes = 32 << 20;  // 4,096 tails and then some

[[nodiscard]] Bytes encode_record(const CommitRecord& record);
// Protocol: not a record, or a damaged one.
[[nodiscard]] Result<CommitRecord> decode_record(ByteView bytes);

// One operation: with its tail, or with only the tail's length where that is kept elsewhere.
enum class Tails : std::uint8_t { Included, LeftOut };
void encode_operation(const Operation& operation, Tails tails, common::wire::BinaryWriter& out);
// With LeftOut, tails come out as that many zero bytes, to be filled in by the caller.
[[nodiscard]] Result<Operation> decode_operation(common::wire::BinaryReader& in, Tails tails);

// The content of an operation that has one (Create, SetContent), else null.
[[nodiscard]] Content* content_of(Operation& operation);

}  // namespace fileserver::store
