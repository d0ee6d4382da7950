#include "common/fileproto/frames.hpp"

#include "common/fileproto/binary_fields.hpp"
#include "common/fileproto/common_fields.hpp"

namespace common::fileproto {
namespace codec {

struct PackedListHead {
  VolumeState state;
  Attributes dir;
  std::uint64_t count = 0;
  std::optional<std::string> next;
};

template <typename F>
void fields(F& f, PackedListHead& m) {
  codec::state(f, m.state);
  f.object("dir", m.dir);
  f.number("count", m.count, kMaxListEntries);
  f.optional_name("next", m.next);
}

}  // namespace codec

namespace {

void add(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void add_u32(Bytes& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>(value >> shift));
}

void add_u64(Bytes& out, std::uint64_t value) {
  add_u32(out, value >> 32);
  add_u32(out, value & 0xFFFF'FFFFU);
}

bool has_attributes(BulkKind kind) {
  return kind != BulkKind::Refused;
}

Result<ListEntry> take_list_entry(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint8_t length, in.u8());
  TROTH_TRY(const ByteView name, in.fixed(std::size_t{length}));
  TROTH_TRY_VOID(check_file_name(as_text(name)));
  TROTH_TRY(const ByteView packed, in.fixed(kPackedAttributes));
  ListEntry entry;
  entry.name = as_text(name);
  TROTH_TRY(entry.node, unpack(packed));
  return entry;
}

Result<BulkFile> take_file(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint8_t kind, in.u8());
  if (kind < static_cast<std::uint8_t>(BulkKind::Whole) ||
      kind > static_cast<std::uint8_t>(BulkKind::Refused)) {
    return fail(ErrorCode::Protocol, "{} is no kind of bulk answer", kind);
  }
  BulkFile file;
  file.kind = static_cast<BulkKind>(kind);
  if (!has_attributes(file.kind)) {
    TROTH_TRY(file.node.node, codec::take_node(in));
    return file;
  }
  TROTH_TRY(const ByteView packed, in.fixed(kPackedAttributes));
  TROTH_TRY(file.node, unpack(packed));
  if (file.kind == BulkKind::Whole) {
    TROTH_TRY(file.bytes, in.bytes(kMaxBulkBytes));
    if (file.bytes.size() != file.node.size)
      return fail(ErrorCode::Protocol, "a file of {} bytes came with {}", file.node.size,
                  file.bytes.size());
  }
  return file;
}

Status check_total(std::uint64_t said, std::uint64_t raw_bytes, std::uint64_t most) {
  if (said > most)
    return fail(ErrorCode::TooLarge, "at most {} bytes in one request; more are staged", most);
  if (said != raw_bytes)
    return fail(ErrorCode::Protocol, "{} raw bytes where the head says {}", raw_bytes, said);
  return {};
}

}  // namespace

PackedList encode_packed(const ListResult& result) {
  PackedList packed;
  packed.head =
      encode(codec::PackedListHead{result.state, result.dir, result.entries.size(), result.next});
  std::size_t size = 0;
  for (const ListEntry& entry : result.entries)
    size += 1 + entry.name.size() + kPackedAttributes;
  packed.raw.reserve(size);
  for (const ListEntry& entry : result.entries) {
    packed.raw.push_back(static_cast<std::byte>(entry.name.size()));
    add(packed.raw, as_bytes(entry.name));
    add(packed.raw, pack(entry.node));
  }
  return packed;
}

Result<ListResult> decode_packed_list(const nlohmann::json& head_json, ByteView raw) {
  TROTH_TRY(codec::PackedListHead head, codec::decode_message<codec::PackedListHead>(head_json));
  ListResult result;
  result.state = head.state;
  result.dir = head.dir;
  result.next = std::move(head.next);
  wire::BinaryReader in(raw);
  for (std::uint64_t i = 0; i < head.count; ++i) {
    TROTH_TRY(result.entries.emplace_back(), take_list_entry(in));
  }
  TROTH_TRY_VOID(in.finish());
  return result;
}

void append_bulk(Bytes& out, const BulkFile& file) {
  out.reserve(out.size() + bulk_size(file));
  out.push_back(static_cast<std::byte>(file.kind));
  if (!has_attributes(file.kind))
    return add_u64(out, file.node.node.value);
  add(out, pack(file.node));
  if (file.kind == BulkKind::Whole) {
    add_u32(out, file.bytes.size());
    add(out, file.bytes);
  }
}

std::size_t bulk_size(const BulkFile& file) {
  if (!has_attributes(file.kind))
    return 1 + 8;
  return 1 + kPackedAttributes + (file.kind == BulkKind::Whole ? 4 + file.bytes.size() : 0);
}

Result<std::vector<BulkFile>> decode_bulk(ByteView raw, std::uint32_t count) {
  std::vector<BulkFile> files;
  wire::BinaryReader in(raw);
  if (count > kMaxBulkNodes)
    return fail(ErrorCode::TooLarge, "{} files in bulk, at most {}", count, kMaxBulkNodes);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(files.emplace_back(), take_file(in));
  }
  TROTH_TRY_VOID(in.finish());
  return files;
}

void append_record(Bytes& out, ByteView record) {
  add_u32(out, record.size());
  add(out, record);
}

Result<std::vector<ByteView>> decode_records(ByteView raw, std::uint32_t count) {
  std::vector<ByteView> records;
  wire::BinaryReader in(raw);
  if (count > kMaxRecords)
    return fail(ErrorCode::TooLarge, "{} commit records, at most {}", count, kMaxRecords);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(records.emplace_back(), in.bytes(kMaxRecordBytes));
  }
  TROTH_TRY_VOID(in.finish());
  return records;
}

Status check_raw(const Change& change, std::uint64_t raw) {
  return check_total(raw_bytes(change), raw,
                     std::holds_alternative<Append>(change) ? kMaxAppendBytes : kMaxStoreBytes);
}

Status check_raw(const BatchArgs& batch, std::uint64_t raw) {
  std::uint64_t said = 0;
  for (const Change& change : batch.changes)
    said += raw_bytes(change);
  return check_total(said, raw, kMaxBatchBytes);
}

}  // namespace common::fileproto
