#pragma once

// The records of a dump (fileserver/DUMP.md): how they are written and read, one after the other.
// Knows nothing of volumes.

#include <memory>
#include <optional>

#include "common/crypto/hash.hpp"
#include "common/crypto/secret.hpp"
#include "fileserver/store/meta/image.hpp"

namespace fileserver::dump {

using common::Bytes;
using common::ByteView;
using common::Result;
using common::Seq;
using common::Status;
using common::crypto::Digest;
using common::crypto::Secret;

inline constexpr std::uint32_t kDumpFormat = 1;

enum class RecordType : std::uint8_t {
  Begin = 1,
  Rows = 2,      // of one table
  Block = 3,     // one
  Commit = 4,    // one
  Position = 5,  // everything before is complete: a dump that was cut goes on here
  End = 6,
};

enum class What : std::uint8_t {
  History = 1,  // the volume with all that is retained
  Present = 2,  // the volume as it is at one seq
  Commits = 3,  // what was committed after one seq, up to another
};

// --- the head of each record: 24 bytes ---

inline constexpr std::size_t kRecordHeadBytes = 24;
// The longest is a commit with 4,096 tails.
inline constexpr std::size_t kMaxRecordPayload = std::size_t{34} << 20;

struct RecordHead {
  RecordType type{};
  std::uint32_t length = 0;  // of the payload as it lies there
  std::uint64_t number = 0;  // from 0
  std::uint32_t crc = 0;     // CRC32C of bytes 0-19 and the payload
};
[[nodiscard]] Result<RecordHead> decode_head(ByteView bytes);

// --- payloads ---

struct Begin {
  std::uint32_t format = kDumpFormat;
  What what = What::History;
  std::array<std::byte, 16> id{};  // of this stream
  bool sealed = false;
  Digest proof{};  // of the key, if sealed
  store::VolumeUuid uuid{};
  common::VolumeId volume;
  store::ImageHead head;         // where it ends
  Seq from;                      // of Commits: where the copy must stand
  store::BlockName from_commit;  // and which commit that is
  std::int64_t time = 0;         // when it was begun
  Bytes continues;               // the position at which it goes on; empty: from the beginning
};
[[nodiscard]] Bytes encode_begin(const Begin& begin);
[[nodiscard]] Result<Begin> decode_begin(ByteView payload);

// Where a dump is. Only for the dump of the same commit of the same volume.
struct Position {
  store::VolumeUuid uuid{};
  What what = What::History;
  Seq from;
  store::BlockName commit;  // ImageHead::commit of its end
  enum class Stage : std::uint8_t { Rows = 1, Blocks = 2, Commits = 3 };
  Stage stage = Stage::Rows;
  store::ImageCursor rows;  // Rows: after this
  store::BlockName block;   // Blocks: after this
  Seq seq;                  // Commits: after this
  friend bool operator==(const Position&, const Position&) = default;
};
[[nodiscard]] Bytes encode_position(const Position& position);
[[nodiscard]] Result<Position> decode_position(ByteView bytes);
inline constexpr std::size_t kMaxPosition = 1024;

struct Totals {
  std::uint64_t rows = 0;
  std::uint64_t blocks = 0;
  std::uint64_t commits = 0;
  std::uint64_t bytes = 0;  // of the stream, up to the record that says so
};
struct End {
  Totals totals;
  store::BlockName image;  // image_digest() of the result
};
[[nodiscard]] Bytes encode_end(const End& end, const Digest& stream);

// --- streams ---

// InvalidArgument: not the key that this stream was sealed with, or none where one is needed.
[[nodiscard]] Status check_key(const Begin& begin, const Secret* key);

// SHA-256 over all records so far: of the chain before and the next record.
class Chain {
 public:
  [[nodiscard]] static Result<Chain> create();
  [[nodiscard]] Status add(ByteView record);
  [[nodiscard]] const Digest& value() const { return value_; }

 private:
  explicit Chain(common::crypto::Sha256 hash) : hash_(std::move(hash)) {}
  common::crypto::Sha256 hash_;
  Digest value_{};
};

// Makes records. One thread.
class RecordWriter {
 public:
  // `key` may be null; it must outlive this call only.
  [[nodiscard]] static Result<RecordWriter> create(Begin begin, const Secret* key);

  // The first record.
  [[nodiscard]] const Bytes& begin() const { return begin_; }
  [[nodiscard]] Result<Bytes> add(RecordType type, ByteView payload);
  [[nodiscard]] Result<Bytes> position(const Position& position);
  [[nodiscard]] Result<Bytes> end(End end);
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  explicit RecordWriter(Chain chain) : chain_(std::move(chain)) {}

  Chain chain_;
  std::optional<Secret> key_;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_ = 0;
  Bytes begin_;
};

struct Record {
  RecordType type{};
  Bytes payload;
};

// Takes a stream apart, and verifies all of it. One thread.
class RecordReader {
 public:
  [[nodiscard]] static Result<RecordReader> create();

  // Takes bytes as they come.
  void feed(ByteView bytes);
  // The next whole record; nullopt: more bytes are needed, or it has ended. The key is asked for
  // by `key_for` when the first record has come. Failures: InvalidArgument (no dump, the wrong
  // key), Unsupported (newer), Corrupt (damaged, or out of order).
  using KeyFor = std::function<Result<const Secret*>(const Begin&)>;
  [[nodiscard]] Result<std::optional<Record>> next(const KeyFor& key_for);

  [[nodiscard]] const std::optional<Begin>& begin() const { return begin_; }
  [[nodiscard]] const std::optional<End>& end() const { return end_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // of whole records
  // Ends here: Protocol unless the last record has come and nothing after it.
  [[nodiscard]] Status finish() const;

 private:
  explicit RecordReader(Chain chain) : chain_(std::move(chain)) {}
  [[nodiscard]] Result<Record> verify(const RecordHead& head, ByteView whole);
  [[nodiscard]] Status first(Record& record, const KeyFor& key_for);
  [[nodiscard]] Status check_stream(Record& record);

  Bytes buffer_;
  std::size_t taken_ = 0;
  Chain chain_;
  std::optional<Begin> begin_;
  std::optional<End> end_;
  std::optional<Secret> key_;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_ = 0;
};

// --- rows and blocks as payloads ---

[[nodiscard]] Bytes encode_rows(store::ImageTable table, std::span<const Bytes> rows);
struct Rows {
  store::ImageTable table{};
  std::vector<ByteView> rows;  // views into the payload
};
[[nodiscard]] Result<Rows> decode_rows(ByteView payload);

[[nodiscard]] Result<Bytes> encode_block(const store::BlockName& name, store::BlockKind kind,
                                         ByteView bytes);
struct Block {
  store::BlockName name;
  store::BlockKind kind{};
  Bytes bytes;
};
// Verified by its name.
[[nodiscard]] Result<Block> decode_block(ByteView payload);

}  // namespace fileserver::dump
