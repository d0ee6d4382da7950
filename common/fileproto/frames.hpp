#pragma once

// Raw bytes that travel beside JSON: packed entries of a directory, small files in bulk, commit
// records. Whatever the peer says is held to the caps before memory is spent.

#include "common/fileproto/codec.hpp"

namespace common::fileproto {

// --- list, packed ---

// Head without the entries, and the entries. Names are 1 to kMaxNameBytes.
struct PackedList {
  std::string head;
  Bytes raw;
};
[[nodiscard]] PackedList encode_packed(const ListResult& result);
[[nodiscard]] Result<ListResult> decode_packed_list(const nlohmann::json& head, ByteView raw);

// --- bulk ---

enum class BulkKind : std::uint8_t {
  Whole = 1,      // attributes, u32 length, all its bytes
  Unchanged = 2,  // attributes: the caller has this version
  NotSmall = 3,   // attributes: to be fetched, or no file
  Refused = 4,    // u64 node: to be asked for alone, which tells why
};
struct BulkFile {
  BulkKind kind = BulkKind::Refused;
  Attributes node;  // Refused: only its `node`
  ByteView bytes;   // of Whole; valid as long as the input
};
// One frame after the other: u8 kind, then as above.
void append_bulk(Bytes& out, const BulkFile& file);
// `count` frames and nothing else; a file's length is its size.
[[nodiscard]] Result<std::vector<BulkFile>> decode_bulk(ByteView raw, std::uint32_t count);
// How many bytes append_bulk() adds.
[[nodiscard]] std::size_t bulk_size(const BulkFile& file);

// --- commit records, as the store encodes them: u32 length, the record ---

inline constexpr std::size_t kMaxRecordBytes = 32 << 20;
void append_record(Bytes& out, ByteView record);
[[nodiscard]] Result<std::vector<ByteView>> decode_records(ByteView raw, std::uint32_t count);

// --- raw bytes of requests ---

// Protocol unless exactly as many raw bytes came along as the changes say; TooLarge over the cap of
// the operation.
[[nodiscard]] Status check_raw(const Change& change, std::uint64_t raw_bytes);
[[nodiscard]] Status check_raw(const BatchArgs& batch, std::uint64_t raw_bytes);

}  // namespace common::fileproto
