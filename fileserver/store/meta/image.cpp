// One file although long: for each table, how its rows are read and how they are put back.

#include "fileserver/store/meta/image.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/store/meta/database.hpp"
#include "fileserver/store/meta/node_rows.hpp"
#include "fileserver/store/meta/record.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::db::Statement;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

constexpr std::size_t kRowsPerPage = 512;
constexpr std::size_t kBytesPerPage = 512 * 1024;
// A row that is true at the seq comes after all that ended before.
constexpr std::uint64_t kStill = static_cast<std::uint64_t>(INT64_MAX);
// The longest column: the operations of a commit.
constexpr std::size_t kMaxColumn = kMaxRecordBytes;

// Columns are described by a letter each: i integer, b blob, x text.
void add_column(const Statement& row, int column, char how, BinaryWriter& out) {
  if (row.column_is_null(column))
    out.u8(0);
  else if (how == 'i')
    out.u8(1).u64(static_cast<std::uint64_t>(row.column_int64(column)));
  else
    out.u8(2).bytes(row.column_blob(column));
}

void add_columns(const Statement& row, int first, std::string_view types, BinaryWriter& out) {
  for (std::size_t i = 0; i < types.size(); ++i)
    add_column(row, first + static_cast<int>(i), types[i], out);
}

// --- tables with a history ---

// `present` and `past` select to_seq (0), then the columns. Both are asked for keys from the
// cursor's on: `present` with key, seq, limit; `past` with key, to_seq, seq, lowest to_seq, limit.
struct Twin {
  ImageTable table{};
  std::string_view types;
  std::string_view key;  // of the first columns: i id, s second integer, b or x name
  std::string_view present;
  std::string_view past;
  std::string_view put_present;
  std::string_view put_past;
};

#define TROTH_TWIN(table, columns, key, marks)                                              \
  "SELECT 0, " columns " FROM " table " WHERE (" key ") >= (" marks                         \
  ") AND from_seq <= ? ORDER BY " key " LIMIT ?",                                           \
      "SELECT to_seq, " columns " FROM " table "_history WHERE (" key ", to_seq) > (" marks \
      ", ?) AND from_seq <= ? AND to_seq > ? ORDER BY " key ", to_seq LIMIT ?"
#define TROTH_PUT(table, columns, marks)                    \
  "REPLACE INTO " table "(" columns ") VALUES (" marks ")", \
      "REPLACE INTO " table "_history(to_seq, " columns ") VALUES (?, " marks ")"

#define SETTING "key, value, from_seq"
#define DIRENT "parent, name, child, kind, from_seq"
#define XATTR "node, name, value, from_seq"
#define HARD_LINK "node, directory, links, from_seq"
#define SEVENTEEN "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

constexpr Twin kTwins[] = {
    {ImageTable::Setting, "xbi", "x", TROTH_TWIN("setting", SETTING, "key", "?"),
     TROTH_PUT("setting", SETTING, "?, ?, ?")},
    {ImageTable::Node, "iiiiiiiiiiiiiiibi", "i", TROTH_TWIN("node", TROTH_NODE_COLUMNS, "id", "?"),
     TROTH_PUT("node", TROTH_NODE_COLUMNS, SEVENTEEN)},
    {ImageTable::Dirent, "ibiii", "ib", TROTH_TWIN("dirent", DIRENT, "parent, name", "?, ?"),
     TROTH_PUT("dirent", DIRENT, "?, ?, ?, ?, ?")},
    {ImageTable::Xattr, "ibbi", "ib", TROTH_TWIN("xattr", XATTR, "node, name", "?, ?"),
     TROTH_PUT("xattr", XATTR, "?, ?, ?, ?")},
    {ImageTable::HardLink, "iiii", "is",
     TROTH_TWIN("hard_link", HARD_LINK, "node, directory", "?, ?"),
     TROTH_PUT("hard_link", HARD_LINK, "?, ?, ?, ?")},
};

#undef TROTH_TWIN
#undef TROTH_PUT
#undef SETTING
#undef DIRENT
#undef XATTR
#undef HARD_LINK
#undef SEVENTEEN

constexpr int kNodeRootColumn = 15;
constexpr int kNodeTailColumn = 16;
constexpr int kNodeSizeColumn = 8;

struct TwinRow {
  ImageCursor at;
  Bytes bytes;
  std::optional<Root> root;
};
struct TwinRows {
  std::vector<TwinRow> rows;
  bool more = false;
};

int bind_key(Statement& statement, const Twin& twin, const ImageCursor& key) {
  int index = 0;
  for (const char part : twin.key) {
    if (part == 'i')
      statement.bind(++index, key.id);
    else if (part == 's')
      statement.bind(++index, key.second);
    else if (part == 'x')
      statement.bind(++index, common::as_text(key.name));
    else
      statement.bind(++index, ByteView(key.name));
  }
  return index;
}

ImageCursor key_of(const Twin& twin, const Statement& row, std::uint64_t to) {
  ImageCursor key;
  key.table = static_cast<std::uint8_t>(twin.table);
  key.to = to;
  for (std::size_t i = 0; i < twin.key.size(); ++i) {
    const int column = static_cast<int>(i) + 1;
    if (twin.key[i] == 'i') {
      key.id = row.column_uint64(column);
    } else if (twin.key[i] == 's') {
      key.second = row.column_uint64(column);
    } else {
      const auto name = row.column_blob(column);
      key.name.assign(name.begin(), name.end());
    }
  }
  return key;
}

// Names in byte order, as the tables are.
bool is_before(const ImageCursor& a, const ImageCursor& b) {
  if (a.id != b.id)
    return a.id < b.id;
  if (a.second != b.second)
    return a.second < b.second;
  if (a.name != b.name)
    return common::as_text(a.name) < common::as_text(b.name);
  return a.to < b.to;
}

Result<std::optional<Root>> root_in(ReadTx& tx, const Statement& row, const TailSeal& seal) {
  const auto name = row.column_blob(kNodeRootColumn + 1);
  if (row.column_is_null(kNodeRootColumn + 1) || name.size() != sizeof(BlockName::bytes))
    return std::optional<Root>();
  Root root;
  std::memcpy(root.name.bytes.data(), name.data(), name.size());
  root.tree_size = row.column_uint64(kNodeSizeColumn + 1);
  if (!row.column_is_null(kNodeTailColumn + 1)) {
    TROTH_TRY(const Bytes tail, read_tail(tx, row.column_int64(kNodeTailColumn + 1), seal));
    root.tree_size -= std::min<std::uint64_t>(root.tree_size, tail.size());
  }
  return std::optional(root);
}

struct Asked {
  ReadTx& tx;
  Seq seq;
  ImageScope scope{};
  const ImageCursor& after;
  const TailSeal& seal;
};

Result<TwinRows> read_twin(const Asked& asked, const Twin& twin, bool past) {
  TROTH_TRY(auto rows, asked.tx.query(past ? twin.past : twin.present));
  int index = bind_key(rows, twin, asked.after);
  if (past)
    rows.bind(++index, asked.after.to);
  rows.bind(++index, asked.seq.value);
  if (past)
    rows.bind(++index, asked.scope == ImageScope::Present ? asked.seq.value : 0);
  rows.bind(++index, kRowsPerPage + 1);  // one may be the cursor's own
  TwinRows found;
  std::size_t bytes = 0;
  for (;;) {
    TROTH_TRY(const bool any, rows.step());
    if (!any)
      return found;
    const std::uint64_t to = past ? rows.column_uint64(0) : 0;
    TwinRow row;
    row.at = key_of(twin, rows, to == 0 || to > asked.seq.value ? kStill : to);
    if (!is_before(asked.after, row.at))
      continue;
    if (found.rows.size() == kRowsPerPage || bytes > kBytesPerPage) {
      found.more = true;
      return found;
    }
    BinaryWriter out;
    out.u64(row.at.to == kStill ? 0 : to);
    add_columns(rows, 1, twin.types, out);
    row.bytes = out.take();
    bytes += row.bytes.size();
    if (twin.table == ImageTable::Node) {
      TROTH_TRY(row.root, root_in(asked.tx, rows, asked.seal));
    }
    found.rows.push_back(std::move(row));
  }
}

// A row may have moved from one table to the other since the page before: both are looked at from
// the same place on, and merged.
Result<ImagePage> twin_page(const Asked& asked, const Twin& twin) {
  TROTH_TRY(TwinRows present, read_twin(asked, twin, false));
  TROTH_TRY(TwinRows past, read_twin(asked, twin, true));
  ImagePage page;
  page.table = twin.table;
  page.next = asked.after;
  std::size_t a = 0;
  std::size_t b = 0;
  for (;;) {
    const bool no_a = a == present.rows.size();
    const bool no_b = b == past.rows.size();
    if ((no_a && (present.more || no_b)) || (no_b && past.more))
      break;  // what one of them has next is not known
    const bool take_a = !no_a && (no_b || is_before(present.rows[a].at, past.rows[b].at));
    TwinRow& row = take_a ? present.rows[a++] : past.rows[b++];
    page.rows.push_back(std::move(row.bytes));
    if (row.root)
      page.roots.push_back(*row.root);
    page.next = std::move(row.at);
  }
  page.done = !present.more && !past.more;
  return page;
}

// --- the others ---

constexpr std::string_view kTouchedHistory =
    "SELECT directory, seq, links, time FROM touched WHERE (directory, seq) > (?1, ?2) "
    "AND seq <= ?3 ORDER BY directory, seq LIMIT ?4";
// The newest of each directory that there is.
constexpr std::string_view kTouchedPresent =
    "SELECT t.directory, t.seq, t.links, t.time FROM touched t "
    "WHERE (t.directory, t.seq) > (?1, ?2) AND t.seq <= ?3 "
    "AND NOT EXISTS (SELECT 1 FROM touched u WHERE u.directory = t.directory AND u.seq > t.seq "
    "AND u.seq <= ?3) "
    "AND (EXISTS (SELECT 1 FROM node n WHERE n.id = t.directory AND n.from_seq <= ?3) "
    "OR EXISTS (SELECT 1 FROM node_history h WHERE h.id = t.directory AND h.to_seq > ?3 "
    "AND h.from_seq <= ?3)) ORDER BY t.directory, t.seq LIMIT ?4";
constexpr std::string_view kTouchedTypes = "iiii";
constexpr std::string_view kTouchedPut =
    "REPLACE INTO touched(directory, seq, links, time) VALUES (?, ?, ?, ?)";

constexpr std::string_view kContentHistory =
    "SELECT id, id FROM content WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";
constexpr std::string_view kContentPresent =
    "SELECT id, tail FROM node WHERE id > ?1 AND from_seq <= ?2 AND tail IS NOT NULL UNION ALL "
    "SELECT id, tail FROM node_history WHERE id > ?1 AND from_seq <= ?2 AND to_seq > ?2 "
    "AND tail IS NOT NULL ORDER BY 1 LIMIT ?3";
constexpr std::string_view kContentPut = "REPLACE INTO content(id, bytes) VALUES (?, ?)";

constexpr std::string_view kSnapshots =
    "SELECT name, from_seq, iif(to_seq > ?3, NULL, to_seq), seq, time FROM snapshot "
    "WHERE (name, from_seq) > (?1, ?2) AND from_seq <= ?3 ORDER BY name, from_seq LIMIT ?4";
constexpr std::string_view kSnapshotTypes = "xiiii";
constexpr std::string_view kSnapshotPut =
    "REPLACE INTO snapshot(name, from_seq, to_seq, seq, time) VALUES (?, ?, ?, ?, ?)";

constexpr std::string_view kFences =
    "SELECT node, first, last, token, from_seq FROM fence WHERE (node, first, last) > (?, ?, ?) "
    "ORDER BY node, first, last LIMIT ?";
constexpr std::string_view kFenceTypes = "iiiii";
constexpr std::string_view kFencePut =
    "REPLACE INTO fence(node, first, last, token, from_seq) VALUES (?, ?, ?, ?, ?)";

constexpr std::string_view kClientsHistory =
    "SELECT id, mount, forgotten FROM client WHERE id > ?1 AND ?2 > 0 ORDER BY id LIMIT ?3";
constexpr std::string_view kClientsPresent =
    "SELECT k.id, k.mount, max(k.forgotten, coalesce((SELECT max(c.number) FROM commits c "
    "WHERE c.client = k.id AND c.seq <= ?2), 0)) FROM client k WHERE k.id > ?1 ORDER BY k.id "
    "LIMIT ?3";
constexpr std::string_view kClientTypes = "bi";
constexpr std::string_view kClientPut =
    "INSERT INTO client(id, mount, forgotten) "
    "VALUES ((SELECT coalesce(max(id), 0) + 1 FROM client), ?1, ?2) "
    "ON CONFLICT(mount) DO UPDATE SET forgotten = max(forgotten, excluded.forgotten)";

constexpr std::string_view kCommits =
    "SELECT c.seq, c.epoch, c.time, c.principal, c.session, k.mount, c.number, c.nodes, c.bytes, "
    "c.operations FROM commits c LEFT JOIN client k ON k.id = c.client "
    "WHERE c.seq > ? AND c.seq <= ? ORDER BY c.seq LIMIT ?";
// Without the operation's key, which is forgotten there.
constexpr std::string_view kCommitAlone =
    "SELECT seq, epoch, time, principal, session, NULL, NULL, nodes, bytes, operations "
    "FROM commits WHERE seq = ? AND seq > ? LIMIT ?";
constexpr std::string_view kCommitTypes = "iiiiibiiib";
constexpr std::string_view kCommitPut =
    "REPLACE INTO commits(seq, epoch, time, principal, session, client, number, nodes, bytes, "
    "operations) VALUES (?1, ?2, ?3, ?4, ?5, (SELECT id FROM client WHERE mount = ?6), ?7, ?8, ?9, "
    "?10)";

// Takes rows out of `rows` into `page` as long as there is room; `note` sets the cursor.
template <typename Note>
Status take_rows(Statement& rows, int first, std::string_view types, ImagePage& page, Note&& note) {
  std::size_t bytes = 0;
  for (std::size_t taken = 0;; ++taken) {
    if (bytes > kBytesPerPage)
      return {};
    TROTH_TRY(const bool any, rows.step());
    if (!any) {
      page.done = taken < kRowsPerPage;
      return {};
    }
    BinaryWriter out;
    add_columns(rows, first, types, out);
    bytes += out.view().size();
    page.rows.push_back(out.take());
    note(page.next);
  }
}

Result<ImagePage> begin_page(const Asked& asked, ImageTable table) {
  ImagePage page;
  page.table = table;
  page.next = asked.after;
  return page;
}

Result<ImagePage> touched_page(const Asked& asked) {
  TROTH_TRY(ImagePage page, begin_page(asked, ImageTable::Touched));
  TROTH_TRY(auto rows,
            asked.tx.query(asked.scope == ImageScope::History ? kTouchedHistory : kTouchedPresent,
                           asked.after.id, asked.after.to, asked.seq.value, kRowsPerPage));
  TROTH_TRY_VOID(take_rows(rows, 0, kTouchedTypes, page, [&](ImageCursor& next) {
    next.id = rows.column_uint64(0);
    next.to = rows.column_uint64(1);
  }));
  return page;
}

Status add_tails(const Asked& asked, std::span<const std::pair<std::uint64_t, std::int64_t>> tails,
                 ImagePage& page) {
  std::size_t bytes = 0;
  for (const auto& [place, id] : tails) {
    if (bytes > kBytesPerPage) {
      page.done = false;
      return {};
    }
    TROTH_TRY(const Bytes tail, read_tail(asked.tx, id, asked.seal));
    BinaryWriter out;
    out.u64(static_cast<std::uint64_t>(id)).bytes(tail);
    bytes += out.view().size();
    page.rows.push_back(out.take());
    page.next.id = place;
  }
  return {};
}

Result<ImagePage> content_page(const Asked& asked, ImageTable table) {
  TROTH_TRY(ImagePage page, begin_page(asked, table));
  const std::int64_t own = content_id(asked.seq, 0);
  const std::int64_t end = content_id(Seq{asked.seq.value + 1}, 0);
  const bool by_node = asked.scope == ImageScope::Present && table == ImageTable::Content;
  std::uint64_t after = asked.after.id;
  if (table == ImageTable::CommitContent) {
    if (asked.scope == ImageScope::History) {
      page.done = true;  // they have come already
      return page;
    }
    after = std::max(after, static_cast<std::uint64_t>(own) - 1);
  }
  std::vector<std::pair<std::uint64_t, std::int64_t>> tails;
  std::size_t seen = 0;
  {
    TROTH_TRY(auto rows, asked.tx.query(by_node ? kContentPresent : kContentHistory, after,
                                        by_node ? static_cast<std::int64_t>(asked.seq.value) : end,
                                        kRowsPerPage));
    for (;; ++seen) {
      TROTH_TRY(const bool any, rows.step());
      if (!any)
        break;
      if (!by_node || rows.column_int64(1) < own)
        tails.emplace_back(rows.column_uint64(0), rows.column_int64(1));
      else
        page.next.id = rows.column_uint64(0);  // comes with its commit
    }
  }
  const std::uint64_t last = page.next.id;
  page.done = seen < kRowsPerPage;
  TROTH_TRY_VOID(add_tails(asked, tails, page));
  if (page.rows.size() == tails.size())
    page.next.id = std::max(page.next.id, last);
  return page;
}

Result<ImagePage> snapshot_page(const Asked& asked) {
  TROTH_TRY(ImagePage page, begin_page(asked, ImageTable::Snapshot));
  if (asked.scope == ImageScope::Present) {
    page.done = true;
    return page;
  }
  const Bytes name = asked.after.name;
  TROTH_TRY(auto rows, asked.tx.query(kSnapshots, common::as_text(name), asked.after.to,
                                      asked.seq.value, kRowsPerPage));
  TROTH_TRY_VOID(take_rows(rows, 0, kSnapshotTypes, page, [&](ImageCursor& next) {
    const auto text = rows.column_blob(0);
    next.name.assign(text.begin(), text.end());
    next.to = rows.column_uint64(1);
  }));
  return page;
}

Result<ImagePage> fence_page(const Asked& asked) {
  TROTH_TRY(ImagePage page, begin_page(asked, ImageTable::Fence));
  TROTH_TRY(auto rows, asked.tx.query(kFences, asked.after.id, asked.after.second, asked.after.to,
                                      kRowsPerPage));
  TROTH_TRY_VOID(take_rows(rows, 0, kFenceTypes, page, [&](ImageCursor& next) {
    next.id = rows.column_uint64(0);
    next.second = rows.column_uint64(1);
    next.to = rows.column_uint64(2);
  }));
  return page;
}

Result<ImagePage> client_page(const Asked& asked) {
  TROTH_TRY(ImagePage page, begin_page(asked, ImageTable::Client));
  TROTH_TRY(auto rows,
            asked.tx.query(asked.scope == ImageScope::History ? kClientsHistory : kClientsPresent,
                           asked.after.id, asked.seq.value, kRowsPerPage));
  TROTH_TRY_VOID(take_rows(rows, 1, kClientTypes, page,
                           [&](ImageCursor& next) { next.id = rows.column_uint64(0); }));
  return page;
}

Result<ImagePage> commit_page(const Asked& asked) {
  TROTH_TRY(ImagePage page, begin_page(asked, ImageTable::Commits));
  const bool alone = asked.scope == ImageScope::Present;
  TROTH_TRY(auto rows, asked.tx.query(alone ? kCommitAlone : kCommits,
                                      alone ? asked.seq.value : asked.after.id,
                                      alone ? asked.after.id : asked.seq.value, kRowsPerPage));
  TROTH_TRY_VOID(take_rows(rows, 0, kCommitTypes, page,
                           [&](ImageCursor& next) { next.id = rows.column_uint64(0); }));
  return page;
}

Result<ImagePage> table_page(const Asked& asked) {
  switch (static_cast<ImageTable>(asked.after.table)) {
    case ImageTable::Setting:
    case ImageTable::Node:
    case ImageTable::Dirent:
    case ImageTable::Xattr:
    case ImageTable::HardLink:
      return twin_page(asked, kTwins[asked.after.table]);
    case ImageTable::Touched:
      return touched_page(asked);
    case ImageTable::Content:
    case ImageTable::CommitContent:
      return content_page(asked, static_cast<ImageTable>(asked.after.table));
    case ImageTable::Snapshot:
      return snapshot_page(asked);
    case ImageTable::Fence:
      return fence_page(asked);
    case ImageTable::Client:
      return client_page(asked);
    case ImageTable::Commits:
      return commit_page(asked);
  }
  return fail(ErrorCode::InvalidArgument, "there is no table {}", asked.after.table);
}

// --- putting back ---

// Columns as they are bound: views into the row.
class RowReader {
 public:
  explicit RowReader(ByteView row) : in_(row) {}

  Status bind(Statement& statement, int index, char how) {
    TROTH_TRY(const std::uint8_t what, in_.u8());
    if (what == 0) {
      statement.bind(index, nullptr);
    } else if (what == 1 && how == 'i') {
      TROTH_TRY(const std::uint64_t value, in_.u64());
      statement.bind(index, static_cast<std::int64_t>(value));
    } else if (what == 2 && how != 'i') {
      TROTH_TRY(const ByteView bytes, in_.bytes(kMaxColumn));
      if (how == 'x')
        statement.bind(index, common::as_text(bytes));
      else
        statement.bind(index, bytes);
    } else {
      return fail(ErrorCode::Protocol, "a row has a column of another kind");
    }
    return {};
  }
  Status bind_all(Statement& statement, int first, std::string_view types) {
    for (std::size_t i = 0; i < types.size(); ++i)
      TROTH_TRY_VOID(bind(statement, first + static_cast<int>(i), types[i]));
    return in_.finish();
  }
  BinaryReader& in() { return in_; }

 private:
  BinaryReader in_;
};

Status put_plain(WriteTx& tx, std::string_view sql, std::string_view types, ByteView row) {
  RowReader in(row);
  TROTH_TRY(auto put, tx.query(sql));
  TROTH_TRY_VOID(in.bind_all(put, 1, types));
  return put.run();
}

Status put_twin(WriteTx& tx, const Twin& twin, ByteView row) {
  RowReader in(row);
  TROTH_TRY(const std::uint64_t to, in.in().u64());
  TROTH_TRY(auto put, tx.query(to == 0 ? twin.put_present : twin.put_past));
  if (to != 0)
    put.bind(1, to);
  TROTH_TRY_VOID(in.bind_all(put, to == 0 ? 1 : 2, twin.types));
  return put.run();
}

Status put_content(WriteTx& tx, ByteView row, const TailSeal& seal) {
  BinaryReader in(row);
  TROTH_TRY(const std::uint64_t id, in.u64());
  TROTH_TRY(const ByteView tail, in.bytes(kMaxTail));
  TROTH_TRY_VOID(in.finish());
  TROTH_TRY(const Bytes stored, seal.seal(id, tail));
  return tx.run(kContentPut, id, ByteView(stored));
}

}  // namespace

bool is_compared(ImageTable table) {
  return table != ImageTable::Fence && table != ImageTable::Client;
}

Result<ImagePage> read_image_page(ReadTx& tx, Seq seq, ImageScope scope, const ImageCursor& after,
                                  const TailSeal& seal) {
  {
    TROTH_TRY(auto row, tx.query("SELECT 1 FROM commits WHERE seq = ?", seq.value));
    TROTH_TRY(const bool there, row.step());
    if (!there)
      return fail(ErrorCode::Stale, "commit {} is not there any more", seq.value);
  }
  TROTH_TRY(ImagePage page, table_page({tx, seq, scope, after, seal}));
  if (page.done) {
    page.next = ImageCursor{};
    page.next.table = static_cast<std::uint8_t>(after.table + 1);
    page.done = page.next.table == kImageTables;
  }
  return page;
}

Result<ImageHead> read_image_head(ReadTx& tx, Seq seq) {
  ImageHead head;
  TROTH_TRY(const auto volume, read_volume_row(tx));
  head.floor = volume->floor;
  head.epoch = volume->epoch;
  head.reserved_seq = volume->reserved_seq;
  head.reserved_node = volume->reserved_node;
  {
    TROTH_TRY(auto newest, tx.query("SELECT max(seq) FROM commits WHERE seq <= ?", seq.value));
    TROTH_TRY_VOID(newest.step());
    head.seq = Seq{newest.column_is_null(0) ? 0 : newest.column_uint64(0)};
  }
  if (head.seq.value == 0 || head.seq < head.floor)
    return fail(ErrorCode::Expired, "commit {} is not retained: history begins at {}", seq.value,
                head.floor.value);
  TROTH_TRY(auto row, tx.query(kCommitAlone, head.seq.value, 0, 1));
  TROTH_TRY_VOID(row.step());
  BinaryWriter out;
  add_columns(row, 0, kCommitTypes, out);
  TROTH_TRY(const auto digest, common::crypto::sha256(out.view()));
  head.commit = BlockName{digest};
  return head;
}

Status load_image_row(WriteTx& tx, ImageTable table, ByteView row, const TailSeal& seal) {
  switch (table) {
    case ImageTable::Setting:
    case ImageTable::Node:
    case ImageTable::Dirent:
    case ImageTable::Xattr:
    case ImageTable::HardLink:
      return put_twin(tx, kTwins[static_cast<std::size_t>(table)], row);
    case ImageTable::Touched:
      return put_plain(tx, kTouchedPut, kTouchedTypes, row);
    case ImageTable::Content:
    case ImageTable::CommitContent:
      return put_content(tx, row, seal);
    case ImageTable::Snapshot:
      return put_plain(tx, kSnapshotPut, kSnapshotTypes, row);
    case ImageTable::Fence:
      return put_plain(tx, kFencePut, kFenceTypes, row);
    case ImageTable::Client:
      return put_plain(tx, kClientPut, kClientTypes, row);
    case ImageTable::Commits:
      return put_plain(tx, kCommitPut, kCommitTypes, row);
  }
  return fail(ErrorCode::Protocol, "there is no table {}", static_cast<unsigned>(table));
}

Status finish_image(WriteTx& tx, const ImageHead& head) {
  TROTH_TRY_VOID(tx.run("DELETE FROM orphan"));
  TROTH_TRY_VOID(tx.run("INSERT INTO orphan(node) SELECT id FROM node WHERE links = 0"));
  return tx.run(
      "UPDATE volume SET epoch = ?, reserved_seq = ?, reserved_node = ?, floor = max(floor, ?)",
      head.epoch.value, head.reserved_seq.value, head.reserved_node.value, head.floor.value);
}

}  // namespace fileserver::store
