#pragma once

// One block as it lies in a segment (STORE.md 2), and the way to it from plain bytes and back:
// compression, sealing, checksum. No files here.

#include <span>

#include "common/crypto/secret.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

inline constexpr std::size_t kSegmentHeaderBytes = 64;
inline constexpr std::size_t kRecordHeaderBytes = 64;
inline constexpr std::size_t kRecordAlignment = 64;
inline constexpr std::string_view kRecordMagic = "TrBk";

enum class Codec : std::uint8_t { Raw = 0, Zstd = 1 };

// A block ready to be placed: compressed if that helps, not yet sealed. Owns its payload only if
// it was compressed; else `payload` is the caller's bytes, which must stay.
struct PreparedBlock {
  BlockName name;
  BlockKind kind = BlockKind::Data;
  Codec codec = Codec::Raw;
  std::uint32_t raw_length = 0;
  ByteView payload;
  Bytes compressed;
};

// Names and, if `compress`, tries zstd level 1. InvalidArgument: empty, too long, or not in
// canonical form. Safe from any thread; CPU only.
[[nodiscard]] Result<PreparedBlock> prepare_block(BlockKind kind, ByteView bytes, bool compress);
// The same where `name` is already known to be the name of `bytes`.
[[nodiscard]] PreparedBlock prepare_named_block(const BlockName& name, BlockKind kind,
                                                ByteView bytes, bool compress);
// InvalidArgument unless `bytes` may be a block: not empty, not too long, no trailing zeros
// (holes).
[[nodiscard]] Status check_canonical(BlockKind kind, ByteView bytes);

// What a record takes in a segment, header and padding included.
[[nodiscard]] std::size_t record_size(std::size_t payload_length, bool sealed);

// Writes the record for this place into `out` (exactly record_size()), sealing with `key` if it is
// not null.
[[nodiscard]] Status encode_record(const PreparedBlock& block, std::uint32_t segment,
                                   std::uint32_t offset, const common::crypto::Secret* key,
                                   std::span<std::byte> out);

struct RecordHeader {
  BlockKind kind = BlockKind::Data;
  Codec codec = Codec::Raw;
  bool sealed = false;
  std::uint32_t raw_length = 0;
  std::uint32_t stored_length = 0;
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
  std::uint32_t crc = 0;
  BlockName name;
};

// Checks magic, format and every length, nothing else; Corrupt says what is wrong.
[[nodiscard]] Result<RecordHeader> decode_record_header(std::span<const std::byte, 64> bytes);

// Verifies place and CRC of a whole record, and that what follows its payload in `record` is zeros;
// neither its seal nor its name.
[[nodiscard]] Result<RecordHeader> check_record(std::span<const std::byte> record,
                                                std::uint32_t segment, std::uint32_t offset);

// As check_record, then verifies the seal (a sealed record needs a key, and with a key nothing else
// will do), decompresses into `into` (at least raw_length), verifies the name, and returns the raw
// length. On failure `into` holds nothing that may be used.
[[nodiscard]] Result<std::size_t> decode_record(std::span<const std::byte> record,
                                                std::uint32_t segment, std::uint32_t offset,
                                                const common::crypto::Secret* key,
                                                std::span<std::byte> into);

// The same for a record that lies in two pieces and whose payload is the block itself (raw, not
// sealed, without padding): it is verified where it is, and wiped if it is not right.
[[nodiscard]] Result<std::size_t> verify_raw_record(std::span<const std::byte, 64> header,
                                                    std::span<std::byte> payload,
                                                    std::uint32_t segment, std::uint32_t offset);

// Such a record, and where it was found.
struct RawRecord {
  std::span<const std::byte, 64> header;
  std::span<std::byte> payload;
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
};
// Verifies everything but the name.
[[nodiscard]] Result<RecordHeader> check_raw_record(const RawRecord& record);

struct SegmentHeader {
  std::uint32_t segment = 0;
  VolumeUuid volume{};
  std::int64_t created = 0;
};
void encode_segment_header(const SegmentHeader& header, std::span<std::byte, 64> out);
[[nodiscard]] Result<SegmentHeader> decode_segment_header(std::span<const std::byte, 64> bytes);

// "00000001.seg" and back; nullopt for any other name.
[[nodiscard]] std::string segment_file_name(std::uint32_t segment);
[[nodiscard]] std::optional<std::uint32_t> segment_of_file_name(std::string_view name);

}  // namespace fileserver::store
