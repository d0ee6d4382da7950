#include "kdc/dump.hpp"

#include <algorithm>

#include "common/failpoint/failpoint.hpp"
#include "common/wire/kdc_dump.hpp"
#include "kdc/first_start.hpp"
#include "kdc/open_file.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Sha256;
using common::db::ReadTx;
using common::db::WriteTx;
using common::wire::KdcDumpEnd;
using common::wire::KdcDumpHeader;
using common::wire::KdcDumpRow;

constexpr std::chrono::seconds kDumpPatience{60};

constexpr DumpedTable kTables[] = {
    {"cell",
     "only_row, id, created, next_id, directory, forgotten, master, anchor_seq, anchor_hash, "
     "head_seq, head_hash",
     "itiiiiiibib", "only_row"},
    {"master", "version, fingerprint", "ib", "version"},
    {"used_id", "id", "i", "id"},
    {"principal",
     "id, name, kind, disabled, kvno, last_kvno, password_end, policy, created, changed",
     "itiiiiitii", "id"},
    {"key",
     "principal, kvno, purpose, state, not_after, created, salt, log2_n, r, p, master, sealed",
     "iiiiiibiiiib", "principal, kvno"},
    {"user_group", "id, name, owner, created, changed", "itiii", "id"},
    {"membership", "member, in_group", "ii", "member, in_group"},
    {"directory_change", "version, principal", "ii", "version, principal"},
    {"policy", "name, ticket_life, renewable_life, min_length, min_classes, history, max_age",
     "tiiiiii", "name"},
    {"attempt", "key, kind, credit, updated, streak, wait_until", "biiiii", "key"},
    {"known_source", "key, succeeded", "bi", "key"},
    {"audit", "seq, at, event, actor, actor_name, subject, source, outcome, times, details, hash",
     "iitittttitb", "seq"},
    {"operation", "id, request, result, at", "bbii", "id"},
};

using Out = std::function<Status(std::string_view line)>;

KdcDumpRow row_of(const DumpedTable& table, const common::db::Statement& from) {
  KdcDumpRow row{.table = std::string(table.name), .values = {}};
  for (std::size_t i = 0; i < table.types.size(); ++i) {
    const int column = static_cast<int>(i);
    if (table.types[i] == 'i') {
      row.values.emplace_back(from.column_int64(column));
    } else if (table.types[i] == 't') {
      row.values.emplace_back(std::string(from.column_text(column)));
    } else {
      const ByteView blob = from.column_blob(column);
      row.values.emplace_back(Bytes(blob.begin(), blob.end()));
    }
  }
  return row;
}

// The number of rows.
Result<std::uint64_t> dump_rows(ReadTx& tx, const Out& out) {
  std::uint64_t count = 0;
  for (const DumpedTable& table : kTables) {
    const std::string sql =
        fmt::format("SELECT {} FROM {} ORDER BY {}", table.columns, table.name, table.order);
    TROTH_TRY(auto rows, tx.query(sql));
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        break;
      TROTH_TRY(const std::string line, common::wire::encode_kdc_dump(row_of(table, rows)));
      TROTH_TRY_VOID(out(line));
      ++count;
    }
  }
  return count;
}

Status insert_row(WriteTx& tx, const KdcDumpRow& row) {
  const auto* table =
      std::find_if(std::begin(kTables), std::end(kTables),
                   [&](const DumpedTable& known) { return known.name == row.table; });
  if (table == std::end(kTables) || row.values.size() != table->types.size())
    return fail(ErrorCode::Corrupt, "the dump has a row that fits no table");
  std::string places;
  for (std::size_t i = 1; i <= row.values.size(); ++i)
    places += fmt::format("{}?{}", i == 1 ? "" : ", ", i);
  const std::string sql =
      fmt::format("INSERT INTO {} ({}) VALUES ({})", table->name, table->columns, places);
  TROTH_TRY(auto statement, tx.query(sql));
  for (std::size_t i = 0; i < row.values.size(); ++i) {
    const int index = static_cast<int>(i) + 1;
    const auto& value = row.values[i];
    const char type = table->types[i];
    if (type == 'i' && std::holds_alternative<std::int64_t>(value)) {
      statement.bind(index, std::get<std::int64_t>(value));
    } else if (type == 't' && std::holds_alternative<std::string>(value)) {
      statement.bind(index, std::string_view(std::get<std::string>(value)));
    } else if (type == 'b' && std::holds_alternative<Bytes>(value)) {
      statement.bind(index, ByteView(std::get<Bytes>(value)));
    } else {
      return fail(ErrorCode::Corrupt, "the dump has a value of a wrong type");
    }
  }
  return statement.run();
}

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos)
    return std::exchange(text, {});
  const std::string_view line = text.substr(0, end + 1);
  text.remove_prefix(end + 1);
  return line;
}

Result<common::wire::KdcDumpLine> decode_line(std::string_view line, std::uint64_t number) {
  if (!line.ends_with('\n'))
    return fail(ErrorCode::Corrupt, "the dump is cut off in line {}", number);
  auto decoded = common::wire::decode_kdc_dump(line.substr(0, line.size() - 1));
  if (decoded || decoded.error().code == ErrorCode::Unsupported)
    return decoded;
  return fail(ErrorCode::Corrupt, "line {} of the dump: {}", number, decoded.error().message);
}

// Everything, or the first thing that is wrong.
Status load_rows(WriteTx& tx, std::string_view text, const std::string& cell) {
  TROTH_TRY(Sha256 hash, Sha256::create());
  std::uint64_t rows = 0;
  for (std::uint64_t number = 1;; ++number) {
    const std::string_view line = take_line(text);
    TROTH_TRY(const auto decoded, decode_line(line, number));
    if (const auto* end = std::get_if<KdcDumpEnd>(&decoded)) {
      TROTH_TRY(const auto digest, hash.finish());
      if (!text.empty() || end->rows != rows ||
          !common::crypto::constant_time_equal(end->sha256, digest))
        return fail(ErrorCode::Corrupt, "the dump is not what was written: its checksum differs");
      return {};
    }
    TROTH_TRY_VOID(hash.update(common::as_bytes(line)));
    const auto* header = std::get_if<KdcDumpHeader>(&decoded);
    if ((header != nullptr) != (number == 1))
      return fail(ErrorCode::Corrupt, "line {} of the dump has no place there", number);
    if (header != nullptr && header->cell != cell) {
      return fail(ErrorCode::InvalidArgument, "the dump is of cell {}, not of {}", header->cell,
                  cell);
    }
    if (const auto* row = std::get_if<KdcDumpRow>(&decoded)) {
      TROTH_TRY_VOID(insert_row(tx, *row));
      ++rows;
    }
  }
}

}  // namespace

std::span<const DumpedTable> dumped_tables() {
  return kTables;
}

Status dump(Core& core, const Out& out) {
  TROTH_TRY(Sha256 hash, Sha256::create());
  const Out hashed = [&](std::string_view line) -> Status {
    TROTH_TRY_VOID(hash.update(common::as_bytes(line)));
    return out(line);
  };
  const KdcDumpHeader header{.cell = core.cell(),
                             .made_ms = static_cast<std::uint64_t>(to_number(core.now()))};
  TROTH_TRY(const std::string first, common::wire::encode_kdc_dump(header));
  TROTH_TRY_VOID(hashed(first));
  TROTH_TRY(const std::uint64_t rows, core.read([&](ReadTx& tx) { return dump_rows(tx, hashed); }));
  TROTH_TRY(const auto digest, hash.finish());
  TROTH_TRY(const std::string last, common::wire::encode_kdc_dump(KdcDumpEnd{
                                        .rows = rows, .sha256 = {digest.begin(), digest.end()}}));
  return out(last);
}

Result<common::crypto::Digest> digest(Core& core) {
  TROTH_TRY(Sha256 hash, Sha256::create());
  TROTH_TRY_VOID(core.read([&](ReadTx& tx) -> Status {
    return dump_rows(tx, [&](std::string_view line) { return hash.update(common::as_bytes(line)); })
        .map([](std::uint64_t) {});
  }));
  return hash.finish();
}

Status load(const DatabaseOptions& options, std::string_view text, const common::Clock& clock) {
  const std::string stash = options.directory + "/" + std::string(kMasterKeyFile);
  if (text.size() > kMostDump)
    return fail(ErrorCode::TooLarge, "a dump has at most {} bytes", kMostDump);
  TROTH_TRY(const MasterKeys masters, MasterKeys::load(stash, options.cell));
  TROTH_TRY(const auto db, open_file(options, clock));
  TROTH_TRY(const bool filled, has_contents(*db));
  if (filled) {
    return fail(ErrorCode::AlreadyExists,
                "{} holds principals already; load a dump into an empty directory",
                options.directory);
  }
  TROTH_TRY(const std::uint64_t number, db->commit([&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(load_rows(tx, text, options.cell));
    TROTH_TRY_VOID(check_master_keys(tx, masters, stash));
    TROTH_FAILPOINT_TRY("kdc.load.before_commit");
    return open_database_secret(tx, masters).map([](const common::crypto::Secret&) {});
  }));
  TROTH_TRY_VOID(db->wait_stable(number, clock.now() + kDumpPatience));
  return db->close();
}

}  // namespace kdc
