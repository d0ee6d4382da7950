// Bytes against rows: trees, tails, records and the index.

#include <unordered_set>

#include "common/wire/hex.hpp"
#include "fileserver/store/check/fsck_state.hpp"
#include "fileserver/store/meta/node_rows.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;

constexpr std::size_t kPage = 1000;

std::string short_name(const BlockName& name) {
  return common::wire::to_hex(name.view().first(8));
}

struct ContentRow {
  std::uint64_t node = 0;
  std::uint64_t to = 0;  // 0: present
  std::uint64_t size = 0;
  std::optional<std::int64_t> tail;
  BlockName root;
};

// The next rows with content, present ones first, then history.
Result<std::vector<ContentRow>> contents_after(Check& check, bool history, const ContentRow& last) {
  return check.db->read([&](ReadTx& tx) -> Result<std::vector<ContentRow>> {
    constexpr std::string_view kPresent =
        "SELECT id, 0, size, tail, root FROM node WHERE id > ?1 AND ?2 >= 0 AND "
        "(root IS NOT NULL OR tail IS NOT NULL) ORDER BY id LIMIT ?3";
    constexpr std::string_view kPast =
        "SELECT id, to_seq, size, tail, root FROM node_history WHERE (id, to_seq) > (?1, ?2) AND "
        "(root IS NOT NULL OR tail IS NOT NULL) ORDER BY id, to_seq LIMIT ?3";
    TROTH_TRY(auto rows, tx.query(history ? kPast : kPresent, last.node, last.to, kPage));
    std::vector<ContentRow> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      ContentRow row{rows.column_uint64(0), rows.column_uint64(1), rows.column_uint64(2), {}, {}};
      if (!rows.column_is_null(3))
        row.tail = rows.column_int64(3);
      const auto root = rows.column_blob(4);
      if (!root.empty())
        std::memcpy(row.root.bytes.data(), root.data(),
                    std::min(root.size(), row.root.bytes.size()));
      found.push_back(row);
    }
  });
}

std::string describe(const ContentRow& row) {
  return row.to == 0 ? fmt::format("node {}", row.node)
                     : fmt::format("node {} before {}", row.node, row.to);
}

// Lists whose trees were walked: most versions of a file share most of them.
using Walked = std::unordered_set<BlockName>;

Status check_tree(Check& check, const ContentRow& row, std::uint64_t tree_size, Walked& walked) {
  if (!walked.insert(row.root).second)
    return {};
  const TreeVisitor visitor{
      [&](const BlockName& name, BlockKind) -> Status {
        TROTH_TRY(const auto place, check.index->find(std::span(&name, 1)));
        if (!place.front())
          check.found("I1", fmt::format("{} needs block {}, which is not indexed", describe(row),
                                        short_name(name)));
        return {};
      },
      [&](const BlockName& list) { return list == row.root || walked.insert(list).second; }};
  const Status visited = visit_tree(*check.blocks, row.root, tree_size, visitor);
  if (!visited && visited.error().code != ErrorCode::NotFound &&
      visited.error().code != ErrorCode::Corrupt && visited.error().code != ErrorCode::IoError)
    return visited;
  if (!visited)
    check.found("I9", fmt::format("the tree of {} cannot be read: {}", describe(row),
                                  visited.error().message));
  return {};
}

Status check_content(Check& check, const ContentRow& row, Walked& walked) {
  std::uint64_t tail = 0;
  if (row.tail) {
    const auto bytes =
        check.db->read([&](ReadTx& tx) { return read_tail(tx, *row.tail, check.seal); });
    if (!bytes) {
      check.found("I9", fmt::format("the tail of {} cannot be read: {}", describe(row),
                                    bytes.error().message));
      return {};
    }
    tail = bytes->size();
  }
  if (tail > row.size || tail > kMaxTail) {
    check.found("I9", fmt::format("the tail of {} does not fit it", describe(row)));
    return {};
  }
  return row.root.is_hole() ? Status() : check_tree(check, row, row.size - tail, walked);
}

struct BlockRow {
  BlockName name;
  Placement placement;
};

Result<std::vector<BlockRow>> blocks_after(Check& check, const BlockName& after) {
  return check.db->read([&](ReadTx& tx) -> Result<std::vector<BlockRow>> {
    TROTH_TRY(auto rows, tx.query("SELECT name, segment, offset, length FROM block WHERE name > ? "
                                  "ORDER BY name LIMIT ?",
                                  after.view(), kPage));
    std::vector<BlockRow> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more)
        return found;
      BlockRow row;
      const auto name = rows.column_blob(0);
      std::memcpy(row.name.bytes.data(), name.data(), std::min(name.size(), row.name.bytes.size()));
      row.placement = {static_cast<std::uint32_t>(rows.column_int64(1)),
                       static_cast<std::uint32_t>(rows.column_int64(2)),
                       static_cast<std::uint32_t>(rows.column_int64(3))};
      found.push_back(row);
    }
  });
}

// Ok, or why it is not that block.
Status verify(Check& check, const BlockName& name, const Placement& placement) {
  thread_local Bytes buffer(kBlockBytes);
  const auto read = check.segments->read(name, BlockKind::Data, placement, buffer);
  // Of the other kind: whole, too.
  if (read || read.error().code == ErrorCode::InvalidArgument)
    return {};
  return tl::unexpected(read.error());
}

// Takes one record for the index, if the index lacks that block or has a bad place for it.
Status take_record(Check& check, const ScannedRecord& record) {
  const BlockName& name = record.header.name;
  TROTH_TRY(const auto old, check.db->read([&](ReadTx& tx) { return read_placement(tx, name); }));
  if (old && (*old == record.placement || verify(check, name, *old)))
    return {};
  const Placement& place = record.placement;
  const auto put = [&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("REPLACE INTO block(name, segment, offset, length) VALUES (?, ?, ?, ?)",
                          name.view(), place.segment, place.offset, place.length));
    TROTH_TRY_VOID(tx.run("DELETE FROM quarantine WHERE name = ?", name.view()));
    return tx.run("UPDATE volume SET last_segment = max(last_segment, ?)", place.segment);
  };
  TROTH_TRY_VOID(check.db->commit(put));
  check.found(
      "I1",
      fmt::format("block {} is indexed again, in segment {}", short_name(name), place.segment),
      true);
  return {};
}

}  // namespace

Result<std::vector<std::optional<Placement>>> CheckedIndex::find(std::span<const BlockName> names) {
  using Found = std::vector<std::optional<Placement>>;
  return db_.read([&](ReadTx& tx) -> Result<Found> {
    Found found;
    for (const BlockName& name : names) {
      TROTH_TRY(auto place, read_placement(tx, name));
      found.push_back(place);
    }
    return found;
  });
}

void CheckedIndex::found_bad(const BlockName& /*name*/, const Placement& /*placement*/,
                             const common::Error& /*why*/) {}

Status check_contents(Check& check) {
  Walked walked;
  for (const bool history : {false, true}) {
    ContentRow last;
    for (;;) {
      TROTH_TRY(const auto rows, contents_after(check, history, last));
      if (rows.empty())
        break;
      for (const ContentRow& row : rows)
        TROTH_TRY_VOID(check_content(check, row, walked));
      last = rows.back();
      check.say(fmt::format("contents: node {}", last.node));
    }
  }
  return {};
}

Status check_blocks(Check& check) {
  BlockName last;
  for (;;) {
    TROTH_TRY(const auto rows, blocks_after(check, last));
    if (rows.empty())
      return {};
    for (const BlockRow& row : rows) {
      ++check.report.blocks;
      check.report.bytes += row.placement.length;
      if (const Status whole = verify(check, row.name, row.placement); !whole)
        check.found("I9", fmt::format("block {}: {}", short_name(row.name), whole.error().message));
    }
    last = rows.back().name;
    check.say(fmt::format("blocks: {} verified", check.report.blocks));
  }
}

Status repair_index(Check& check) {
  for (const SegmentInfo& segment : check.segments->list()) {
    const auto scanned = check.segments->scan(
        segment.number, true,
        [&](const ScannedRecord& record) { return take_record(check, record); });
    if (!scanned && scanned.error().code != ErrorCode::Corrupt)
      return tl::unexpected(scanned.error());
    check.say(fmt::format("segment {} scanned", segment.number));
  }
  return {};
}

}  // namespace fileserver::store
