// Streams of records: heads, checksums, seals, order.

#include "common/crypto/aead.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/dump/format.hpp"
#include "fileserver/store/blocks/crc32c.hpp"

namespace fileserver::dump {

namespace {

using common::ErrorCode;
using common::fail;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;

constexpr std::string_view kMagic = "TrDu";
constexpr std::size_t kChecked = 20;  // bytes of the head that the CRC and the seal cover
// Bytes of `buffer_` that have been taken are moved out of the way when they are this many.
constexpr std::size_t kMostTaken = 1 << 20;

Result<Digest> proof_of(const Secret& key, ByteView id) {
  TROTH_TRY(const Secret proof, common::crypto::derive_key(key, "troth dump proof", id));
  Digest digest{};
  std::copy(proof.bytes().begin(), proof.bytes().end(), digest.begin());
  return digest;
}

// Bound to everything that the first record says, so that nothing in it can be changed either.
Result<Secret> stream_key(const Secret& key, ByteView begin_payload) {
  TROTH_TRY(const Digest context, common::crypto::sha256(begin_payload));
  return common::crypto::derive_key(key, "troth dump", context);
}

Bytes encode_head(RecordType type, std::size_t length, std::uint64_t number) {
  BinaryWriter out;
  out.fixed(common::as_bytes(kMagic)).u8(static_cast<std::uint8_t>(type)).u8(0).u16(0);
  out.u32(static_cast<std::uint32_t>(length)).u64(number);
  return out.take();
}

std::uint32_t crc_of(ByteView head, ByteView payload) {
  return store::crc32c(store::crc32c(0, head), payload);
}

}  // namespace

Result<RecordHead> decode_head(ByteView bytes) {
  BinaryReader in(bytes);
  TROTH_TRY(const ByteView magic, in.fixed(kMagic.size()));
  if (common::as_text(magic) != kMagic)
    return fail(ErrorCode::Corrupt, "a record does not begin as one");
  RecordHead head;
  TROTH_TRY(const std::uint8_t type, in.u8());
  if (type < 1 || type > 6)
    return fail(ErrorCode::Corrupt, "a record has the type {}", type);
  head.type = static_cast<RecordType>(type);
  TROTH_TRY(const std::uint8_t zero, in.u8());
  TROTH_TRY(const std::uint16_t zeros, in.u16());
  if (zero != 0 || zeros != 0)
    return fail(ErrorCode::Corrupt, "a record's head is damaged");
  TROTH_TRY(head.length, in.u32());
  if (head.length > kMaxRecordPayload)
    return fail(ErrorCode::Corrupt, "a record claims {} bytes", head.length);
  TROTH_TRY(head.number, in.u64());
  TROTH_TRY(head.crc, in.u32());
  return head;
}

Status check_key(const Begin& begin, const Secret* key) {
  if (!begin.sealed)
    return {};
  if (key == nullptr)
    return fail(ErrorCode::InvalidArgument, "the dump is sealed: its key is needed");
  TROTH_TRY(const Digest proof, proof_of(*key, begin.id));
  if (!common::crypto::constant_time_equal(proof, begin.proof))
    return fail(ErrorCode::InvalidArgument, "the dump was sealed with another key");
  return {};
}

Result<Chain> Chain::create() {
  TROTH_TRY(auto hash, common::crypto::Sha256::create());
  return Chain(std::move(hash));
}

Status Chain::add(ByteView record) {
  TROTH_TRY_VOID(hash_.update(value_));
  TROTH_TRY_VOID(hash_.update(record));
  TROTH_TRY(value_, hash_.finish());
  return {};
}

// --- writing ---

Result<RecordWriter> RecordWriter::create(Begin begin, const Secret* key) {
  TROTH_TRY(Chain chain, Chain::create());
  RecordWriter writer(std::move(chain));
  begin.sealed = key != nullptr;
  if (key != nullptr) {
    TROTH_TRY(begin.proof, proof_of(*key, begin.id));
  }
  const Bytes payload = encode_begin(begin);
  TROTH_TRY(writer.begin_, writer.add(RecordType::Begin, payload));
  if (key != nullptr) {
    TROTH_TRY(Secret own, stream_key(*key, payload));
    writer.key_ = std::move(own);
  }
  return writer;
}

Result<Bytes> RecordWriter::add(RecordType type, ByteView payload) {
  const std::size_t length = payload.size() + (key_ ? common::crypto::kAeadOverhead : 0);
  Bytes record = encode_head(type, length, number_);
  record.resize(kRecordHeadBytes + length);
  const std::span<std::byte> body = std::span(record).subspan(kRecordHeadBytes);
  if (key_)
    TROTH_TRY_VOID(
        common::crypto::seal_into(*key_, payload, ByteView(record).first(kChecked), body));
  else
    std::copy(payload.begin(), payload.end(), body.begin());
  const std::uint32_t crc = crc_of(ByteView(record).first(kChecked), body);
  const Bytes tail = BinaryWriter().u32(crc).take();
  std::copy(tail.begin(), tail.end(), record.begin() + kChecked);
  TROTH_TRY_VOID(chain_.add(record));
  ++number_;
  bytes_ += record.size();
  return record;
}

Result<Bytes> RecordWriter::position(const Position& position) {
  const Digest so_far = chain_.value();
  const Bytes payload = BinaryWriter().bytes(encode_position(position)).fixed(so_far).take();
  return add(RecordType::Position, payload);
}

Result<Bytes> RecordWriter::end(End end) {
  end.totals.bytes = bytes_;
  return add(RecordType::End, encode_end(end, chain_.value()));
}

// --- reading ---

Result<RecordReader> RecordReader::create() {
  TROTH_TRY(Chain chain, Chain::create());
  return RecordReader(std::move(chain));
}

void RecordReader::feed(ByteView bytes) {
  if (taken_ > kMostTaken) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Record>> RecordReader::next(const KeyFor& key_for) {
  const ByteView rest = ByteView(buffer_).subspan(taken_);
  if (end_ && !rest.empty())
    return fail(ErrorCode::Corrupt, "something follows the end of the dump");
  // What is no dump at all shows in its first bytes.
  if (!begin_) {
    const std::size_t known = std::min(rest.size(), kMagic.size());
    if (common::as_text(rest.first(known)) != kMagic.substr(0, known))
      return fail(ErrorCode::InvalidArgument, "this is no dump of a volume");
  }
  if (rest.size() < kRecordHeadBytes)
    return std::optional<Record>();
  TROTH_TRY(const RecordHead head, decode_head(rest.first(kRecordHeadBytes)));
  if (rest.size() - kRecordHeadBytes < head.length)
    return std::optional<Record>();
  const ByteView whole = rest.first(kRecordHeadBytes + head.length);
  TROTH_TRY(Record record, verify(head, whole));
  if (head.number == 0)
    TROTH_TRY_VOID(first(record, key_for));
  else
    TROTH_TRY_VOID(check_stream(record));
  TROTH_TRY_VOID(chain_.add(whole));
  ++number_;
  bytes_ += whole.size();
  taken_ += whole.size();
  return std::optional(std::move(record));
}

Result<Record> RecordReader::verify(const RecordHead& head, ByteView whole) {
  const ByteView checked = whole.first(kChecked);
  const ByteView payload = whole.subspan(kRecordHeadBytes);
  if (crc_of(checked, payload) != head.crc)
    return fail(ErrorCode::Corrupt, "record {} of the dump is damaged", number_);
  if (head.number != number_)
    return fail(ErrorCode::Corrupt, "record {} of the dump comes where {} should", head.number,
                number_);
  Record record;
  record.type = head.type;
  if (!key_) {
    record.payload.assign(payload.begin(), payload.end());
    return record;
  }
  auto opened = common::crypto::open(*key_, payload, checked);
  if (!opened)
    return fail(ErrorCode::Corrupt, "record {} of the dump was changed", number_);
  record.payload = *std::move(opened);
  return record;
}

Status RecordReader::first(Record& record, const KeyFor& key_for) {
  if (record.type != RecordType::Begin)
    return fail(ErrorCode::Corrupt, "the dump does not begin with its beginning");
  TROTH_TRY(Begin begin, decode_begin(record.payload));
  TROTH_TRY(const Secret* const key, key_for(begin));
  TROTH_TRY_VOID(check_key(begin, key));
  if (begin.sealed) {
    TROTH_TRY(Secret own, stream_key(*key, record.payload));
    key_ = std::move(own);
  }
  begin_ = std::move(begin);
  return {};
}

// Positions and the end say what came before them.
Status RecordReader::check_stream(Record& record) {
  if (record.type == RecordType::Begin)
    return fail(ErrorCode::Corrupt, "the dump begins twice");
  BinaryReader in(record.payload);
  Digest digest{};
  if (record.type == RecordType::Position) {
    TROTH_TRY(const ByteView position, in.bytes(kMaxPosition));
    TROTH_TRY_VOID(in.fixed(std::span(digest)));
    TROTH_TRY_VOID(in.finish());
    record.payload = Bytes(position.begin(), position.end());
  } else if (record.type == RecordType::End) {
    End end;
    TROTH_TRY(end.totals.rows, in.u64());
    TROTH_TRY(end.totals.blocks, in.u64());
    TROTH_TRY(end.totals.commits, in.u64());
    TROTH_TRY(end.totals.bytes, in.u64());
    TROTH_TRY_VOID(in.fixed(std::span(end.image.bytes)));
    TROTH_TRY_VOID(in.fixed(std::span(digest)));
    TROTH_TRY_VOID(in.finish());
    if (end.totals.bytes != bytes_)
      return fail(ErrorCode::Corrupt, "the dump says that it has {} bytes; it has {}",
                  end.totals.bytes, bytes_);
    end_ = end;
  } else {
    return {};
  }
  if (!common::crypto::constant_time_equal(digest, chain_.value()))
    return fail(ErrorCode::Corrupt, "the dump is not what it says that it is");
  return {};
}

Status RecordReader::finish() const {
  if (end_ && taken_ == buffer_.size())
    return {};
  if (end_)
    return fail(ErrorCode::Corrupt, "something follows the end of the dump");
  return fail(ErrorCode::Protocol, "the dump was cut off: it ends after {} bytes, in record {}",
              bytes_ + (buffer_.size() - taken_), number_);
}

}  // namespace fileserver::dump
