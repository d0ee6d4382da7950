#include "fileserver/store/blocks/segment_record.hpp"

#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "common/crypto/aead.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/crc32c.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::crypto::kAeadOverhead;

constexpr std::string_view kSegmentMagic = "TrothSeg";
constexpr std::uint32_t kSegmentFormat = 1;
constexpr std::uint8_t kRecordFormat = 1;
constexpr std::size_t kNameBytes = sizeof(BlockName::bytes);
// Below this the record's own header outweighs whatever compression could save.
constexpr std::size_t kLeastToCompress = 128;
constexpr int kZstdLevel = 1;
// Above this a look at a sample is cheaper than to let zstd find out that nothing can be saved.
constexpr std::size_t kLeastToSample = 32 * 1024;

// Where fields of a record header begin.
constexpr std::size_t kAtFormat = 4;
constexpr std::size_t kAtKind = 5;
constexpr std::size_t kAtCodec = 6;
constexpr std::size_t kAtSealed = 7;
constexpr std::size_t kAtRawLength = 8;
constexpr std::size_t kAtStoredLength = 12;
constexpr std::size_t kAtSegment = 16;
constexpr std::size_t kAtOffset = 20;
constexpr std::size_t kAtZero = 24;
constexpr std::size_t kAtCrc = 28;
constexpr std::size_t kAtName = 32;

void put32(std::span<std::byte> out, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i)
    out[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}
std::uint32_t get32(ByteView bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<std::uint32_t>(bytes[at + i]);
  return value;
}
void put64(std::span<std::byte> out, std::size_t at, std::uint64_t value) {
  put32(out, at, static_cast<std::uint32_t>(value >> 32));
  put32(out, at + 4, static_cast<std::uint32_t>(value));
}
std::uint64_t get64(ByteView bytes, std::size_t at) {
  return std::uint64_t{get32(bytes, at)} << 32 | get32(bytes, at + 4);
}

void put_bytes(std::span<std::byte> out, std::size_t at, ByteView bytes) {
  std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// The form that gives equal contents equal names: anything else would be a second name for them.
bool is_canonical(BlockKind kind, ByteView bytes) {
  if (bytes.empty())
    return false;
  if (kind == BlockKind::Data)
    return bytes.size() <= kBlockBytes && bytes.back() != std::byte{0};
  return bytes.size() <= kFanOut * kNameBytes && bytes.size() % kNameBytes == 0 &&
         !is_zero(bytes.last(kNameBytes));
}

std::uint32_t record_crc(std::span<const std::byte> record, std::size_t stored_length) {
  const std::uint32_t start = crc32c(0, record.first(kAtCrc));
  return crc32c(start, record.subspan(kAtName, kRecordHeaderBytes - kAtName + stored_length));
}

// What a seal vouches for beside the payload: all of the header but the CRC, which comes last.
std::array<std::byte, kAtZero + kNameBytes> associated_data(std::span<const std::byte> header) {
  std::array<std::byte, kAtZero + kNameBytes> data{};
  put_bytes(data, 0, header.first(kAtZero));
  put_bytes(data, kAtZero, header.subspan(kAtName, kNameBytes));
  return data;
}

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Whether all byte values are about equally frequent, as in what is compressed or encrypted
// already.
bool looks_random(ByteView bytes) {
  constexpr std::size_t kStretches = 4;
  constexpr std::size_t kStretchBytes = 1024;
  constexpr std::size_t kSamples = kStretches * kStretchBytes;
  std::array<std::uint32_t, 256> counts{};
  for (std::size_t stretch = 0; stretch < kStretches; ++stretch) {
    for (const std::byte byte : bytes.subspan(bytes.size() / kStretches * stretch, kStretchBytes))
      ++counts[static_cast<std::size_t>(byte)];
  }
  std::uint64_t squares = 0;
  for (const std::uint32_t count : counts)
    squares += std::uint64_t{count} * count;
  // Of evenly drawn bytes the sum is near kSamples^2 / 256 + kSamples, with a deviation of 360; six
  // of these above it is chance once in a thousand million blocks.
  return squares < kSamples * kSamples / 256 + kSamples + 6 * 360;
}

// Compressed if that saves at least an eighth, else nothing.
Bytes compressed(ByteView bytes) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  thread_local Bytes buffer;
  if (!context || bytes.size() < kLeastToCompress ||
      (bytes.size() >= kLeastToSample && looks_random(bytes)))
    return {};
  buffer.resize(bytes.size() - bytes.size() / 8);  // no room for worse: zstd then gives up early
  const std::size_t length = ZSTD_compressCCtx(context.get(), buffer.data(), buffer.size(),
                                               bytes.data(), bytes.size(), kZstdLevel);
  if (ZSTD_isError(length) != 0)
    return {};
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(length)};
}

// Fills exactly `into`; never writes behind it, whatever the frame says of its own size.
Status decompress(ByteView bytes, std::span<std::byte> into) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeCompressor> context(ZSTD_createDCtx());
  if (!context)
    return fail(ErrorCode::ResourceExhausted, "no memory to decompress a block");
  const std::size_t length =
      ZSTD_decompressDCtx(context.get(), into.data(), into.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(length) != 0 || length != into.size())
    return fail(ErrorCode::Corrupt, "a block's payload does not decompress to its length");
  return {};
}

Status check_lengths(const RecordHeader& header) {
  const std::size_t overhead = header.sealed ? kAeadOverhead : 0;
  const std::size_t limit = header.kind == BlockKind::List ? kFanOut * kNameBytes : kBlockBytes;
  if (header.raw_length == 0 || header.raw_length > limit ||
      (header.kind == BlockKind::List && header.raw_length % kNameBytes != 0))
    return fail(ErrorCode::Corrupt, "a block of {} bytes", header.raw_length);
  const bool fits =
      header.codec == Codec::Raw
          ? header.stored_length == header.raw_length + overhead
          : header.stored_length > overhead && header.stored_length < header.raw_length + overhead;
  if (!fits)
    return fail(ErrorCode::Corrupt, "{} stored bytes for a block of {}", header.stored_length,
                header.raw_length);
  return {};
}

// The payload, out of its seal if it has one; `opened` keeps it then.
Result<ByteView> unsealed_payload(const RecordHeader& header, std::span<const std::byte> record,
                                  const common::crypto::Secret* key, Bytes& opened) {
  const ByteView payload = record.subspan(kRecordHeaderBytes, header.stored_length);
  if (header.sealed != (key != nullptr))
    return fail(ErrorCode::Corrupt, "a block that is {}sealed in a volume that is not",
                header.sealed ? "" : "un");
  if (key == nullptr)
    return payload;
  opened.resize(payload.size() - kAeadOverhead);
  TROTH_TRY_VOID(common::crypto::open_into(*key, payload, associated_data(record), opened));
  return ByteView(opened);
}

Status check_place(const RecordHeader& header, std::uint32_t segment, std::uint32_t offset) {
  if (header.segment == segment && header.offset == offset)
    return {};
  return fail(ErrorCode::Corrupt, "a record of segment {} offset {} lies at segment {} offset {}",
              header.segment, header.offset, segment, offset);
}

tl::unexpected<common::Error> wrong_checksum(std::uint32_t segment, std::uint32_t offset) {
  return fail(ErrorCode::Corrupt, "the checksum of the record at segment {} offset {} is wrong",
              segment, offset);
}

tl::unexpected<common::Error> wrong_name(std::uint32_t segment, std::uint32_t offset) {
  return fail(ErrorCode::Corrupt, "the block at segment {} offset {} is not what its name says",
              segment, offset);
}

}  // namespace

Result<PreparedBlock> prepare_block(BlockKind kind, ByteView bytes, bool compress) {
  if (!is_canonical(kind, bytes))
    return fail(ErrorCode::InvalidArgument, "a block of {} bytes that is not in canonical form",
                bytes.size());
  TROTH_TRY(const BlockName name, name_block(kind, bytes));
  return prepare_named_block(name, kind, bytes, compress);
}

PreparedBlock prepare_named_block(const BlockName& name, BlockKind kind, ByteView bytes,
                                  bool compress) {
  PreparedBlock block{.name = name,
                      .kind = kind,
                      .raw_length = static_cast<std::uint32_t>(bytes.size()),
                      .payload = bytes};
  if (compress)
    block.compressed = compressed(bytes);
  if (!block.compressed.empty()) {
    block.codec = Codec::Zstd;
    block.payload = block.compressed;
  }
  return block;
}

Status check_canonical(BlockKind kind, ByteView bytes) {
  if (!is_canonical(kind, bytes))
    return fail(ErrorCode::InvalidArgument, "a block of {} bytes that is not in canonical form",
                bytes.size());
  return {};
}

std::size_t record_size(std::size_t payload_length, bool sealed) {
  const std::size_t length = kRecordHeaderBytes + payload_length + (sealed ? kAeadOverhead : 0);
  return (length + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

Status encode_record(const PreparedBlock& block, std::uint32_t segment, std::uint32_t offset,
                     const common::crypto::Secret* key, std::span<std::byte> out) {
  const std::size_t stored = block.payload.size() + (key != nullptr ? kAeadOverhead : 0);
  if (out.size() != record_size(block.payload.size(), key != nullptr) ||
      offset % kRecordAlignment != 0)
    return fail(ErrorCode::Internal, "a record of {} bytes into a place of {}", stored, out.size());
  put_bytes(out, 0, common::as_bytes(kRecordMagic));
  out[kAtFormat] = std::byte{kRecordFormat};
  out[kAtKind] = static_cast<std::byte>(block.kind);
  out[kAtCodec] = static_cast<std::byte>(block.codec);
  out[kAtSealed] = static_cast<std::byte>(key != nullptr);
  put32(out, kAtRawLength, block.raw_length);
  put32(out, kAtStoredLength, static_cast<std::uint32_t>(stored));
  put32(out, kAtSegment, segment);
  put32(out, kAtOffset, offset / static_cast<std::uint32_t>(kRecordAlignment));
  put32(out, kAtZero, 0);
  put_bytes(out, kAtName, block.name.bytes);
  const std::span<std::byte> payload = out.subspan(kRecordHeaderBytes, stored);
  if (key != nullptr) {
    TROTH_TRY_VOID(common::crypto::seal_into(*key, block.payload, associated_data(out), payload));
  } else {
    put_bytes(payload, 0, block.payload);
  }
  put32(out, kAtCrc, record_crc(out, stored));
  std::ranges::fill(out.subspan(kRecordHeaderBytes + stored), std::byte{0});
  return {};
}

Result<RecordHeader> decode_record_header(std::span<const std::byte, 64> bytes) {
  if (common::as_text(bytes.first<4>()) != kRecordMagic)
    return fail(ErrorCode::Corrupt, "no record begins here");
  if (bytes[kAtFormat] != std::byte{kRecordFormat})
    return fail(ErrorCode::Corrupt, "a record of format {}", static_cast<int>(bytes[kAtFormat]));
  const auto kind = static_cast<unsigned>(bytes[kAtKind]);
  const auto codec = static_cast<unsigned>(bytes[kAtCodec]);
  const auto sealed = static_cast<unsigned>(bytes[kAtSealed]);
  const std::uint32_t unit = get32(bytes, kAtOffset);
  if (kind < 1 || kind > 2 || codec > 1 || sealed > 1 || get32(bytes, kAtZero) != 0 ||
      unit > UINT32_MAX / kRecordAlignment)
    return fail(ErrorCode::Corrupt, "a record of kind {}, codec {}, seal {}", kind, codec, sealed);
  RecordHeader header{.kind = static_cast<BlockKind>(kind),
                      .codec = static_cast<Codec>(codec),
                      .sealed = sealed == 1,
                      .raw_length = get32(bytes, kAtRawLength),
                      .stored_length = get32(bytes, kAtStoredLength),
                      .segment = get32(bytes, kAtSegment),
                      .offset = unit * static_cast<std::uint32_t>(kRecordAlignment),
                      .crc = get32(bytes, kAtCrc)};
  std::copy_n(bytes.begin() + kAtName, kNameBytes, header.name.bytes.begin());
  TROTH_TRY_VOID(check_lengths(header));
  return header;
}

Result<RecordHeader> check_record(std::span<const std::byte> record, std::uint32_t segment,
                                  std::uint32_t offset) {
  if (record.size() < kRecordHeaderBytes)
    return fail(ErrorCode::Corrupt, "{} bytes are no record", record.size());
  TROTH_TRY(const RecordHeader header, decode_record_header(record.first<kRecordHeaderBytes>()));
  TROTH_TRY_VOID(check_place(header, segment, offset));
  if (record.size() < kRecordHeaderBytes + header.stored_length)
    return fail(ErrorCode::Corrupt, "a record of {} bytes ends after {}",
                kRecordHeaderBytes + header.stored_length, record.size());
  if (record_crc(record, header.stored_length) != header.crc)
    return wrong_checksum(segment, offset);
  if (!is_zero(record.subspan(kRecordHeaderBytes + header.stored_length)))
    return fail(ErrorCode::Corrupt, "the end of the record at segment {} offset {} is not zero",
                segment, offset);
  return header;
}

Result<std::size_t> decode_record(std::span<const std::byte> record, std::uint32_t segment,
                                  std::uint32_t offset, const common::crypto::Secret* key,
                                  std::span<std::byte> into) {
  TROTH_TRY(const RecordHeader header, check_record(record, segment, offset));
  if (into.size() < header.raw_length)
    return fail(ErrorCode::InvalidArgument, "{} bytes of room for a block of {}", into.size(),
                header.raw_length);
  thread_local Bytes opened;
  TROTH_TRY(const ByteView payload, unsealed_payload(header, record, key, opened));
  const std::span<std::byte> raw = into.first(header.raw_length);
  if (header.codec == Codec::Zstd)
    TROTH_TRY_VOID(decompress(payload, raw));
  // What is not compressed is copied only once it is known to be right.
  const ByteView bytes = header.codec == Codec::Zstd ? ByteView(raw) : payload;
  TROTH_TRY(const BlockName name, name_block(header.kind, bytes));
  if (name != header.name) {
    std::ranges::fill(raw, std::byte{0});
    return wrong_name(segment, offset);
  }
  if (header.codec == Codec::Raw)
    std::memcpy(raw.data(), payload.data(), payload.size());
  return raw.size();
}

Result<RecordHeader> check_raw_record(const RawRecord& record) {
  TROTH_TRY(const RecordHeader known, decode_record_header(record.header));
  TROTH_TRY_VOID(check_place(known, record.segment, record.offset));
  if (known.codec != Codec::Raw || known.sealed || known.stored_length != record.payload.size())
    return fail(ErrorCode::Internal, "a record of {} bytes was taken for a raw one of {}",
                known.stored_length, record.payload.size());
  std::uint32_t crc = crc32c(0, record.header.first<kAtCrc>());
  crc = crc32c(crc, record.header.subspan<kAtName>());
  if (crc32c(crc, record.payload) != known.crc)
    return wrong_checksum(record.segment, record.offset);
  return known;
}

Result<std::size_t> verify_raw_record(std::span<const std::byte, 64> header,
                                      std::span<std::byte> payload, std::uint32_t segment,
                                      std::uint32_t offset) {
  const auto verify = [&]() -> Status {
    TROTH_TRY(const RecordHeader known, check_raw_record({header, payload, segment, offset}));
    TROTH_TRY(const BlockName name, name_block(known.kind, payload));
    return name == known.name ? Status() : wrong_name(segment, offset);
  };
  if (Status right = verify(); !right) {
    std::ranges::fill(payload, std::byte{0});
    return tl::unexpected(std::move(right).error());
  }
  return payload.size();
}

void encode_segment_header(const SegmentHeader& header, std::span<std::byte, 64> out) {
  std::ranges::fill(out, std::byte{0});
  put_bytes(out, 0, common::as_bytes(kSegmentMagic));
  put32(out, 8, kSegmentFormat);
  put32(out, 12, header.segment);
  put_bytes(out, 16, header.volume);
  put64(out, 32, static_cast<std::uint64_t>(header.created));
  put32(out, 60, crc32c(0, out.first<60>()));
}

Result<SegmentHeader> decode_segment_header(std::span<const std::byte, 64> bytes) {
  if (common::as_text(bytes.first<8>()) != kSegmentMagic ||
      crc32c(0, bytes.first<60>()) != get32(bytes, 60))
    return fail(ErrorCode::Corrupt, "the header of a segment is damaged");
  if (get32(bytes, 8) != kSegmentFormat)
    return fail(ErrorCode::Unsupported,
                "a segment of format {}, and this program knows {}: use a newer one",
                get32(bytes, 8), kSegmentFormat);
  SegmentHeader header{.segment = get32(bytes, 12),
                       .created = static_cast<std::int64_t>(get64(bytes, 32))};
  std::copy_n(bytes.begin() + 16, header.volume.size(), header.volume.begin());
  return header;
}

std::string segment_file_name(std::uint32_t segment) {
  return fmt::format("{:08x}.seg", segment);
}

std::optional<std::uint32_t> segment_of_file_name(std::string_view name) {
  constexpr std::size_t kDigits = 8;
  if (name.size() != kDigits + 4 || !name.ends_with(".seg"))
    return std::nullopt;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, number, 16);
  // Also refuses capital letters, which would be a second name for the number.
  if (error != std::errc() || end != name.data() + kDigits || number == 0 ||
      segment_file_name(number) != name)
    return std::nullopt;
  return number;
}

}  // namespace fileserver::store
