// Payloads: their fields.

#include "fileserver/dump/format.hpp"

#include "common/wire/binary.hpp"
#include "fileserver/store/blocks/segment_record.hpp"
#include "fileserver/store/meta/record.hpp"

namespace fileserver::dump {

namespace {

using common::ErrorCode;
using common::fail;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

constexpr std::string_view kBeginMagic = "TrothVolumeDump\n";
constexpr std::string_view kPositionMagic = "TrDP1";
// Rows of one record: a page, and one row that may be long.
constexpr std::size_t kMaxRows = 4096;
// A block travels as the record that it would be in a segment, at a place of its own.
constexpr std::uint32_t kSegment = 1;
constexpr std::uint32_t kOffset = 0;

void add_name(BinaryWriter& out, const store::BlockName& name) {
  out.fixed(name.view());
}

Result<store::BlockName> read_name(BinaryReader& in) {
  store::BlockName name;
  TROTH_TRY_VOID(in.fixed(std::span(name.bytes)));
  return name;
}

Result<What> read_what(BinaryReader& in) {
  TROTH_TRY(const std::uint8_t what, in.u8());
  if (what < 1 || what > 3)
    return fail(ErrorCode::Protocol, "a dump of kind {}", what);
  return static_cast<What>(what);
}

}  // namespace

Bytes encode_begin(const Begin& begin) {
  BinaryWriter out;
  out.fixed(common::as_bytes(kBeginMagic)).u32(begin.format);
  out.u8(static_cast<std::uint8_t>(begin.what)).fixed(begin.id).boolean(begin.sealed);
  out.fixed(begin.proof).fixed(begin.uuid).u32(begin.volume.value);
  const store::ImageHead& head = begin.head;
  out.u64(head.seq.value).u64(head.floor.value).u64(head.epoch.value);
  out.u64(head.reserved_seq.value).u64(head.reserved_node.value);
  add_name(out, head.commit);
  out.u64(begin.from.value);
  add_name(out, begin.from_commit);
  out.u64(static_cast<std::uint64_t>(begin.time)).bytes(begin.continues);
  return out.take();
}

Result<Begin> decode_begin(ByteView payload) {
  BinaryReader in(payload);
  const auto magic = in.fixed(kBeginMagic.size());
  if (!magic || common::as_text(*magic) != kBeginMagic)
    return fail(ErrorCode::InvalidArgument, "this is no dump of a volume");
  Begin begin;
  TROTH_TRY(begin.format, in.u32());
  if (begin.format != kDumpFormat)
    return fail(ErrorCode::Unsupported,
                "the dump has format {}; this program knows {}: load it with a newer one",
                begin.format, kDumpFormat);
  TROTH_TRY(begin.what, read_what(in));
  TROTH_TRY_VOID(in.fixed(std::span(begin.id)));
  TROTH_TRY(begin.sealed, in.boolean());
  TROTH_TRY_VOID(in.fixed(std::span(begin.proof)));
  TROTH_TRY_VOID(in.fixed(std::span(begin.uuid)));
  TROTH_TRY(begin.volume.value, in.u32());
  TROTH_TRY(begin.head.seq.value, in.u64());
  TROTH_TRY(begin.head.floor.value, in.u64());
  TROTH_TRY(begin.head.epoch.value, in.u64());
  TROTH_TRY(begin.head.reserved_seq.value, in.u64());
  TROTH_TRY(begin.head.reserved_node.value, in.u64());
  TROTH_TRY(begin.head.commit, read_name(in));
  TROTH_TRY(begin.from.value, in.u64());
  TROTH_TRY(begin.from_commit, read_name(in));
  TROTH_TRY(const std::uint64_t time, in.u64());
  begin.time = static_cast<std::int64_t>(time);
  TROTH_TRY(const ByteView continues, in.bytes(kMaxPosition));
  begin.continues.assign(continues.begin(), continues.end());
  TROTH_TRY_VOID(in.finish());
  return begin;
}

Bytes encode_position(const Position& position) {
  BinaryWriter out;
  out.fixed(common::as_bytes(kPositionMagic)).fixed(position.uuid);
  out.u8(static_cast<std::uint8_t>(position.what)).u64(position.from.value);
  add_name(out, position.commit);
  out.u8(static_cast<std::uint8_t>(position.stage));
  const store::ImageCursor& rows = position.rows;
  out.u8(rows.table).u64(rows.id).u64(rows.second).u64(rows.to).bytes(rows.name);
  add_name(out, position.block);
  out.u64(position.seq.value);
  return out.take();
}

Result<Position> decode_position(ByteView bytes) {
  BinaryReader in(bytes);
  const auto magic = in.fixed(kPositionMagic.size());
  if (!magic || common::as_text(*magic) != kPositionMagic)
    return fail(ErrorCode::InvalidArgument, "this is no position in a dump");
  Position position;
  TROTH_TRY_VOID(in.fixed(std::span(position.uuid)));
  TROTH_TRY(position.what, read_what(in));
  TROTH_TRY(position.from.value, in.u64());
  TROTH_TRY(position.commit, read_name(in));
  TROTH_TRY(const std::uint8_t stage, in.u8());
  if (stage < 1 || stage > 3)
    return fail(ErrorCode::Protocol, "a position in stage {}", stage);
  position.stage = static_cast<Position::Stage>(stage);
  TROTH_TRY(position.rows.table, in.u8());
  TROTH_TRY(position.rows.id, in.u64());
  TROTH_TRY(position.rows.second, in.u64());
  TROTH_TRY(position.rows.to, in.u64());
  TROTH_TRY(const ByteView name, in.bytes(store::kMaxName));
  position.rows.name.assign(name.begin(), name.end());
  TROTH_TRY(position.block, read_name(in));
  TROTH_TRY(position.seq.value, in.u64());
  TROTH_TRY_VOID(in.finish());
  return position;
}

Bytes encode_end(const End& end, const Digest& stream) {
  BinaryWriter out;
  out.u64(end.totals.rows).u64(end.totals.blocks).u64(end.totals.commits).u64(end.totals.bytes);
  add_name(out, end.image);
  out.fixed(stream);
  return out.take();
}

Bytes encode_rows(store::ImageTable table, std::span<const Bytes> rows) {
  BinaryWriter out;
  out.u8(static_cast<std::uint8_t>(table)).u32(static_cast<std::uint32_t>(rows.size()));
  for (const Bytes& row : rows)
    out.bytes(row);
  return out.take();
}

Result<Rows> decode_rows(ByteView payload) {
  BinaryReader in(payload);
  Rows rows;
  TROTH_TRY(const std::uint8_t table, in.u8());
  if (table >= store::kImageTables)
    return fail(ErrorCode::Protocol, "a dump has rows of a table {}", table);
  rows.table = static_cast<store::ImageTable>(table);
  TROTH_TRY(const std::uint32_t count, in.u32());
  if (count > kMaxRows)
    return fail(ErrorCode::Protocol, "a dump has {} rows in one record", count);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(const ByteView row, in.bytes(kMaxRecordPayload));
    rows.rows.push_back(row);
  }
  TROTH_TRY_VOID(in.finish());
  return rows;
}

Result<Bytes> encode_block(const store::BlockName& name, store::BlockKind kind, ByteView bytes) {
  const auto prepared = store::prepare_named_block(name, kind, bytes, true);
  Bytes out(store::record_size(prepared.payload.size(), false));
  TROTH_TRY_VOID(store::encode_record(prepared, kSegment, kOffset, nullptr, out));
  return out;
}

Result<Block> decode_block(ByteView payload) {
  if (payload.size() < store::kRecordHeaderBytes)
    return fail(ErrorCode::Protocol, "a block of {} bytes", payload.size());
  TROTH_TRY(const auto header,
            store::decode_record_header(payload.first<store::kRecordHeaderBytes>()));
  Block block;
  block.name = header.name;
  block.kind = header.kind;
  block.bytes.resize(header.raw_length);
  TROTH_TRY_VOID(store::decode_record(payload, kSegment, kOffset, nullptr, block.bytes));
  return block;
}

}  // namespace fileserver::dump
