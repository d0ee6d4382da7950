// The log: heads and records.

#include "fileserver/store/meta/node_rows.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::db::Statement;
using common::wire::BinaryReader;

#define TROTH_RECORD_COLUMNS                                                                 \
  "SELECT c.seq, c.epoch, c.time, c.principal, c.session, k.mount, c.number, c.operations, " \
  "(SELECT max(p.seq) FROM commits p WHERE p.seq < c.seq) "                                  \
  "FROM commits c LEFT JOIN client k ON k.id = c.client "

Result<CommitRecord> parse_header(const Statement& row) {
  CommitRecord record;
  record.seq = Seq{row.column_uint64(0)};
  record.epoch = Epoch{row.column_uint64(1)};
  record.time = row.column_int64(2);
  record.principal = static_cast<std::uint64_t>(row.column_int64(3));
  record.session = SessionId{static_cast<std::uint64_t>(row.column_int64(4))};
  record.previous = Seq{row.column_uint64(8)};
  if (row.column_is_null(6))
    return record;
  OperationKey key;
  const auto mount = row.column_blob(5);
  if (mount.size() != key.mount.bytes.size())
    return fail(ErrorCode::Corrupt, "commit {} belongs to no mount", record.seq.value);
  std::memcpy(key.mount.bytes.data(), mount.data(), mount.size());
  key.number = row.column_uint64(6);
  record.key = key;
  return record;
}

// Decodes the operations and puts the tails back.
Result<CommitRecord> parse_record(ReadTx& tx, const Statement& row, const TailSeal& seal,
                                  std::size_t& bytes) {
  TROTH_TRY(CommitRecord record, parse_header(row));
  const auto blob = row.column_blob(7);
  bytes += blob.size();
  BinaryReader in(blob);
  const auto read_operations = [&]() -> Status {
    TROTH_TRY(const std::uint32_t count, in.u32());
    if (count > kMaxOperations)
      return fail(ErrorCode::Protocol, "it has {} operations", count);
    for (std::uint32_t i = 0; i < count; ++i) {
      TROTH_TRY(Operation operation, decode_operation(in, Tails::LeftOut));
      record.operations.push_back(std::move(operation));
    }
    return in.finish();
  };
  if (const Status read = read_operations(); !read)
    return fail(ErrorCode::Corrupt, "commit {} cannot be read: {}", record.seq.value,
                read.error().message);
  for (std::size_t i = 0; i < record.operations.size(); ++i) {
    Content* const content = content_of(record.operations[i]);
    if (content == nullptr || content->tail.empty())
      continue;
    const std::size_t length = content->tail.size();
    TROTH_TRY(content->tail, read_tail(tx, content_id(record.seq, i), seal));
    if (content->tail.size() != length)
      return fail(ErrorCode::Corrupt, "commit {} has another tail than it says", record.seq.value);
    bytes += length;
  }
  return record;
}

}  // namespace

Result<Head> read_head(ReadTx& tx) {
  TROTH_TRY(auto row, tx.query("SELECT seq, epoch, time, nodes, bytes FROM commits "
                               "ORDER BY seq DESC LIMIT 1"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return Head{};  // a copy that has redone nothing yet
  return Head{Seq{row.column_uint64(0)}, Epoch{row.column_uint64(1)}, row.column_int64(2),
              row.column_uint64(3), row.column_uint64(4)};
}

Result<std::optional<Seq>> read_seq_at(ReadTx& tx, std::int64_t time) {
  // Times never go back, so a binary search by seq finds it; the gaps between seqs do not matter.
  std::uint64_t low = 0;
  TROTH_TRY(const Head head, read_head(tx));
  std::uint64_t high = head.seq.value;
  std::optional<Seq> best;
  while (low <= high && high != 0) {
    const std::uint64_t middle = low + (high - low) / 2;
    TROTH_TRY(auto row, tx.query("SELECT seq, time FROM commits WHERE seq <= ? "
                                 "ORDER BY seq DESC LIMIT 1",
                                 middle));
    TROTH_TRY(const bool found, row.step());
    if (found && row.column_int64(1) > time) {
      high = row.column_uint64(0) - 1;
      continue;
    }
    if (found)
      best = Seq{row.column_uint64(0)};
    low = middle + 1;
  }
  return best;
}

Result<std::vector<CommitRecord>> read_records(ReadTx& tx, Seq after, std::size_t limit,
                                               std::size_t bytes, const TailSeal& seal) {
  TROTH_TRY(auto rows, tx.query(TROTH_RECORD_COLUMNS "WHERE c.seq > ? ORDER BY c.seq LIMIT ?",
                                after.value, limit));
  std::vector<CommitRecord> records;
  std::size_t taken = 0;
  while (taken < bytes) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    TROTH_TRY(CommitRecord record, parse_record(tx, rows, seal, taken));
    records.push_back(std::move(record));
  }
  return records;
}

Result<std::optional<CommitRecord>> read_record_of(ReadTx& tx, const OperationKey& key,
                                                   const TailSeal& seal) {
  std::int64_t client = 0;
  std::uint64_t floor = 0;
  const auto too_old = [&] {
    return fail(ErrorCode::Expired,
                "operation {} is too old to tell whether it was executed: look at the file",
                key.number);
  };
  {
    TROTH_TRY(auto row, tx.query("SELECT id, forgotten, (SELECT floor FROM volume) FROM client "
                                 "WHERE mount = ?",
                                 ByteView(key.mount.bytes)));
    TROTH_TRY(const bool known, row.step());
    if (!known)
      return std::optional<CommitRecord>();
    client = row.column_int64(0);
    floor = row.column_uint64(2);
    if (key.number <= row.column_uint64(1))
      return too_old();
  }
  TROTH_TRY(auto row, tx.query(TROTH_RECORD_COLUMNS "WHERE c.client = ? AND c.number = ?", client,
                               key.number));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return std::optional<CommitRecord>();
  // Being trimmed: its tails may have gone before it.
  if (row.column_uint64(0) < floor)
    return too_old();
  std::size_t bytes = 0;
  TROTH_TRY(CommitRecord record, parse_record(tx, row, seal, bytes));
  return std::optional(std::move(record));
}

}  // namespace fileserver::store
