#include "common/cell/first_contents.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace common::cell {
namespace {

using crypto::Secret;

constexpr std::string_view kMagic = "troth first contents 1\n";
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kMostText = 97;
constexpr std::size_t kMostSalt = 256;

// Pieces of a message that holds keys, gathered without a copy of them in ordinary memory.
class SecretPieces {
 public:
  void fixed(ByteView bytes) {
    pieces_.emplace_back(Bytes(), bytes);
    size_ += bytes.size();
  }
  void number(std::uint64_t value) {
    Bytes bytes = wire::BinaryWriter().u32(static_cast<std::uint32_t>(value)).take();
    size_ += bytes.size();
    pieces_.emplace_back(std::move(bytes), ByteView());
  }
  void text(std::string_view text) {
    number(text.size());
    fixed(as_bytes(text));
  }
  // With the SHA-256 of everything at the end.
  Result<Secret> join() const {
    Secret whole(size_ + std::tuple_size_v<crypto::Digest>);
    auto out = whole.writable().begin();
    for (const auto& [own, view] : pieces_) {
      out = std::copy(own.begin(), own.end(), out);
      out = std::copy(view.begin(), view.end(), out);
    }
    TROTH_TRY(const crypto::Digest digest, crypto::sha256(whole.bytes().first(size_)));
    std::copy(digest.begin(), digest.end(), out);
    return whole;
  }

 private:
  std::vector<std::pair<Bytes, ByteView>> pieces_;
  std::size_t size_ = 0;
};

Status check(const FirstContents& contents) {
  const auto bad_text = [](std::string_view text) {
    return text.empty() || text.size() > kMostText;
  };
  bool bad = bad_text(contents.cell) || bad_text(contents.administrator) ||
             contents.master_key.size() != kKeyBytes ||
             contents.administrator_key.size() != kKeyBytes ||
             contents.salt.size() < crypto::kMinSaltBytes || contents.salt.size() > kMostSalt ||
             contents.services.size() > kMostFirstServices;
  for (const FirstService& service : contents.services)
    bad = bad || bad_text(service.name) || service.key.size() != kKeyBytes;
  if (bad)
    return fail(ErrorCode::InvalidArgument, "the first contents of the KDC are incomplete");
  return {};
}

Result<Secret> read_key(wire::BinaryReader& reader) {
  TROTH_TRY(const ByteView bytes, reader.fixed(kKeyBytes));
  return Secret::copy_of(bytes);
}

Result<FirstContents> decode_body(ByteView body) {
  wire::BinaryReader reader(body);
  FirstContents contents;
  TROTH_TRY(contents.cell, reader.text(kMostText));
  TROTH_TRY(contents.master_key, read_key(reader));
  TROTH_TRY(contents.administrator, reader.text(kMostText));
  TROTH_TRY(const ByteView salt, reader.bytes(kMostSalt));
  contents.salt.assign(salt.begin(), salt.end());
  TROTH_TRY(const std::uint32_t log2_n, reader.u32());
  TROTH_TRY(const std::uint32_t r, reader.u32());
  TROTH_TRY(const std::uint32_t p, reader.u32());
  TROTH_TRY(contents.parameters, crypto::ScryptParameters::make(log2_n, r, p));
  TROTH_TRY(contents.administrator_key, read_key(reader));
  TROTH_TRY(const std::uint32_t count, reader.u32());
  if (count > kMostFirstServices)
    return fail(ErrorCode::Corrupt, "too many services");
  for (std::uint32_t i = 0; i < count; ++i) {
    FirstService service;
    TROTH_TRY(service.name, reader.text(kMostText));
    TROTH_TRY(service.key, read_key(reader));
    contents.services.push_back(std::move(service));
  }
  TROTH_TRY_VOID(reader.finish());
  TROTH_TRY_VOID(check(contents));
  return contents;
}

}  // namespace

Result<Secret> encode_first_contents(const FirstContents& contents) {
  TROTH_TRY_VOID(check(contents));
  SecretPieces pieces;
  pieces.fixed(as_bytes(kMagic));
  pieces.text(contents.cell);
  pieces.fixed(contents.master_key.bytes());
  pieces.text(contents.administrator);
  pieces.number(contents.salt.size());
  pieces.fixed(contents.salt);
  pieces.number(contents.parameters.log2_n());
  pieces.number(contents.parameters.r());
  pieces.number(contents.parameters.p());
  pieces.fixed(contents.administrator_key.bytes());
  pieces.number(contents.services.size());
  for (const FirstService& service : contents.services) {
    pieces.text(service.name);
    pieces.fixed(service.key.bytes());
  }
  return pieces.join();
}

Result<FirstContents> decode_first_contents(ByteView bytes) {
  const auto damaged = [](std::string_view why) {
    return fail(ErrorCode::Corrupt, "not the first contents of a KDC, or damaged ({})", why);
  };
  constexpr std::size_t kDigest = std::tuple_size_v<crypto::Digest>;
  if (bytes.size() < kMagic.size() + kDigest || bytes.size() > kMostFirstContents)
    return damaged("its size");
  const ByteView body = bytes.first(bytes.size() - kDigest);
  TROTH_TRY(const crypto::Digest digest, crypto::sha256(body));
  if (!crypto::constant_time_equal(digest, bytes.last(kDigest)))
    return damaged("its checksum");
  if (as_text(body.first(kMagic.size())) != kMagic)
    return damaged("its beginning");
  auto contents = decode_body(body.subspan(kMagic.size()));
  if (!contents)
    return damaged(contents.error().message);
  return contents;
}

}  // namespace common::cell
