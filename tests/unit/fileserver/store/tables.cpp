#include "tests/unit/fileserver/store/tables.hpp"

namespace test_support {

using common::Result;
using common::Status;
using fs::ReadTx;
using fs::WriteTx;

Tables::Tables(bool empty) {
  common::db::Options options;
  options.application_id = fs::kVolumeApplicationId;
  auto opened = common::db::Database::open(fs::metadata_path(directory.path().string()), options,
                                           fs::volume_migrations(), clock);
  REQUIRE_OK(opened);
  db = *std::move(opened);
  const auto row = [](WriteTx& tx) -> Status {
    const std::array<std::byte, 16> uuid{};
    return tx.run(
        "INSERT INTO volume(only_row, uuid, id, created, format, epoch, reserved_seq, "
        "reserved_node, floor, follows, boot, clean, last_segment) "
        "VALUES (1, ?1, 1, 0, 1, 0, 0, 1, 0, 0, ?1, 1, 0)",
        common::ByteView(uuid));
  };
  REQUIRE_OK(db->commit(row));
  if (empty)
    return;
  fs::Create root = test_support::directory({}, "");
  root.node = fs::kRootNode;
  REQUIRE_OK(commit({root}));
}

Result<fs::Executed> Tables::commit(std::vector<fs::Operation> operations,
                                    std::optional<fs::OperationKey> key) {
  time += 1'000;
  const auto change = [&](WriteTx& tx) -> Result<fs::Executed> {
    fs::ExecuteContext context;
    TROTH_TRY(context.before, fs::read_head(tx));
    context.seq = fs::Seq{context.before.seq.value + 1};
    context.epoch = fs::Epoch{1};
    context.time = time;
    context.seal = &seal;
    context.new_node = [&]() -> Result<fs::NodeId> { return fs::NodeId{next_node++}; };
    TROTH_TRY(fs::Executed executed, fs::execute(tx, context, operations));
    TROTH_TRY_VOID(fs::write_commit(
        tx, {context.seq, context.epoch, context.time, 7, fs::SessionId{8}, key}, executed));
    return executed;
  };
  auto done = db->commit(change);
  if (!done)
    return tl::unexpected(std::move(done).error());
  return std::move(done->value);
}

Status Tables::redo(const fs::CommitRecord& record) {
  const auto change = [&](WriteTx& tx) -> Status {
    fs::ExecuteContext context;
    TROTH_TRY(context.before, fs::read_head(tx));
    if (context.before.seq != record.previous)
      return common::fail(common::ErrorCode::Conflict, "not the next record");
    context.seq = record.seq;
    context.epoch = record.epoch;
    context.time = record.time;
    context.redo = true;
    context.seal = &seal;
    TROTH_TRY(const fs::Executed executed, fs::execute(tx, context, record.operations));
    if (executed.resolved != record.operations)
      return common::fail(common::ErrorCode::Protocol, "redoing made a choice");
    return fs::write_commit(
        tx, {record.seq, record.epoch, record.time, record.principal, record.session, record.key},
        executed);
  };
  const auto done = db->commit(change);
  return done ? Status() : tl::unexpected(done.error());
}

fs::Seq Tables::head() {
  const auto head = db->read([](ReadTx& tx) { return fs::read_head(tx); });
  REQUIRE_OK(head);
  return head->seq;
}

fs::NodeId Tables::make(fs::NodeId parent, std::string name, fs::NodeKind kind,
                        std::string_view bytes) {
  fs::Create create = file(parent, std::move(name), bytes);
  create.kind = kind;
  const auto done = commit({create});
  REQUIRE_OK(done);
  return done->created[0];
}

std::optional<fs::Attributes> Tables::attributes(fs::NodeId node, fs::At at) {
  const auto found = db->read([&](ReadTx& tx) { return fs::read_attributes(tx, node, at); });
  REQUIRE_OK(found);
  return *found;
}

std::optional<fs::NodeId> Tables::child(fs::NodeId parent, std::string_view name, fs::At at) {
  const auto found = db->read([&](ReadTx& tx) { return fs::read_entry(tx, parent, name, at); });
  REQUIRE_OK(found);
  return *found ? std::optional((*found)->child) : std::nullopt;
}

std::vector<std::string> Tables::names(fs::NodeId parent, fs::At at) {
  const auto entries =
      db->read([&](ReadTx& tx) { return fs::read_entries(tx, parent, "", 1000, at); });
  REQUIRE_OK(entries);
  std::vector<std::string> result;
  for (const fs::Entry& entry : *entries)
    result.push_back(entry.name);
  return result;
}

std::string Tables::bytes(fs::NodeId node, fs::At at) {
  const auto content =
      db->read([&](ReadTx& tx) { return fs::read_content_of(tx, node, at, seal); });
  REQUIRE_OK(content);
  REQUIRE(content->has_value());
  return std::string(common::as_text((*content)->tail));
}

std::int64_t Tables::count(std::string_view sql) {
  const auto number = db->read([&](ReadTx& tx) -> Result<std::int64_t> {
    TROTH_TRY(auto row, tx.query(sql));
    TROTH_TRY_VOID(row.step());
    return row.column_int64(0);
  });
  REQUIRE_OK(number);
  return *number;
}

fs::BlockName Tables::digest(fs::Seq from) {
  const auto digest = db->read([&](ReadTx& tx) { return fs::digest_rows(tx, from, seal); });
  REQUIRE_OK(digest);
  return *digest;
}

std::vector<fs::CommitRecord> Tables::records(fs::Seq after) {
  auto records = db->read(
      [&](ReadTx& tx) { return fs::read_records(tx, after, 100'000, std::size_t{1} << 30, seal); });
  REQUIRE_OK(records);
  return *std::move(records);
}

}  // namespace test_support
