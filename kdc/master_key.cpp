#include "kdc/master_key.hpp"

#include <algorithm>

#include "common/crypto/aead.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/crypto/random.hpp"
#include "common/wire/binary.hpp"
#include "kdc/private_file.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Digest;
using common::crypto::Secret;

constexpr std::string_view kMagic = "troth master keys 1\n";
constexpr std::size_t kMostStash = 4096;  // four keys and a cell's name

}  // namespace

MasterKeys MasterKeys::clone() const {
  MasterKeys copy(cell_);
  for (const auto& [version, entry] : keys_)
    copy.keys_.emplace(version, Entry{entry.key.clone(), entry.sealing.clone()});
  return copy;
}

Status MasterKeys::add_random() {
  Secret key(kKeyBytes);
  TROTH_TRY_VOID(common::crypto::random_bytes(key.writable()));
  return add(newest() + 1, key);
}

Status MasterKeys::add(std::uint32_t version, const Secret& key) {
  if (version == 0 || key.size() != kKeyBytes)
    return fail(ErrorCode::InvalidArgument, "a master key has 32 bytes and a version from 1");
  if (has(version))
    return fail(ErrorCode::AlreadyExists, "there is a master key {} already", version);
  if (keys_.size() >= kMost) {
    return fail(ErrorCode::ResourceExhausted, "there are {} master keys; end a rollover first",
                keys_.size());
  }
  // The context is as for every key of the protocol; the master key belongs to no principal.
  const std::string context = cell_ + '\0';
  TROTH_TRY(Secret sealing,
            common::crypto::derive_key(key, "troth kdb v1", common::as_bytes(context)));
  keys_.emplace(version, Entry{key.clone(), std::move(sealing)});
  return {};
}

std::uint32_t MasterKeys::newest() const {
  return keys_.empty() ? 0 : keys_.rbegin()->first;
}

std::vector<std::uint32_t> MasterKeys::versions() const {
  std::vector<std::uint32_t> all;
  for (const auto& [version, entry] : keys_)
    all.push_back(version);
  return all;
}

Result<Digest> MasterKeys::fingerprint(std::uint32_t version) const {
  const auto found = keys_.find(version);
  if (found == keys_.end())
    return fail(ErrorCode::NotFound, "there is no master key {} in the stash file", version);
  return common::crypto::hmac_sha256(found->second.sealing.bytes(),
                                     common::as_bytes("troth master key fingerprint"));
}

Bytes MasterKeys::associated(std::uint32_t version, const KeyPlace& place) const {
  common::wire::BinaryWriter writer;
  writer.u8(1).text(cell_).u32(version).u32(place.principal.value).u32(place.kvno);
  return writer.u8(static_cast<std::uint8_t>(place.purpose)).take();
}

Result<Bytes> MasterKeys::seal(std::uint32_t version, const KeyPlace& place,
                               const Secret& key) const {
  const auto found = keys_.find(version);
  if (found == keys_.end())
    return fail(ErrorCode::NotFound, "there is no master key {} in the stash file", version);
  return common::crypto::seal(found->second.sealing, key.bytes(), associated(version, place));
}

Result<Secret> MasterKeys::open(std::uint32_t version, const KeyPlace& place,
                                ByteView sealed) const {
  const auto found = keys_.find(version);
  if (found == keys_.end())
    return fail(ErrorCode::NotFound, "there is no master key {} in the stash file", version);
  auto opened =
      common::crypto::open_secret(found->second.sealing, sealed, associated(version, place));
  if (opened && opened->size() != 32)
    return fail(ErrorCode::Corrupt, "a sealed key does not have 32 bytes");
  return opened;
}

// magic · text cell · u32 n · n × (u32 version · key[32]) · SHA-256 of everything before.
Status MasterKeys::save(const std::string& path) const {
  Secret content(kMagic.size() + 4 + cell_.size() + 4 + keys_.size() * (4 + kKeyBytes) + 32);
  std::span<std::byte> rest = content.writable();
  const auto put = [&](ByteView bytes) {
    std::copy(bytes.begin(), bytes.end(), rest.begin());
    rest = rest.subspan(bytes.size());
  };
  const auto put_u32 = [&](std::size_t value) {
    put(common::wire::BinaryWriter().u32(static_cast<std::uint32_t>(value)).view());
  };
  put(common::as_bytes(kMagic));
  put_u32(cell_.size());
  put(common::as_bytes(cell_));
  put_u32(keys_.size());
  for (const auto& [version, entry] : keys_) {
    put_u32(version);
    put(entry.key.bytes());
  }
  TROTH_TRY(const Digest digest, common::crypto::sha256(content.bytes().first(
                                     static_cast<std::size_t>(content.size() - rest.size()))));
  put(digest);
  return write_private_file(path, content);
}

Result<MasterKeys> MasterKeys::load(const std::string& path, const std::string& cell) {
  TROTH_TRY(const Secret content, read_private_file(path, kMostStash));
  const auto damaged = [&] {
    return fail(ErrorCode::Corrupt, "{} is damaged or no file of master keys; restore it", path);
  };
  if (content.size() < kMagic.size() + 32)
    return damaged();
  const ByteView body = content.bytes().first(content.size() - 32);
  TROTH_TRY(const Digest digest, common::crypto::sha256(body));
  if (!common::crypto::constant_time_equal(digest, content.bytes().last(32)) ||
      common::as_text(body.first(kMagic.size())) != kMagic)
    return damaged();
  common::wire::BinaryReader reader(body.subspan(kMagic.size()));
  TROTH_TRY(const std::string its_cell, reader.text(64));
  if (its_cell != cell) {
    return fail(ErrorCode::InvalidArgument, "{} belongs to cell {}, not to {}", path, its_cell,
                cell);
  }
  TROTH_TRY(const std::uint32_t count, reader.u32());
  if (count == 0 || count > kMost)
    return damaged();
  MasterKeys keys(cell);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(const std::uint32_t version, reader.u32());
    TROTH_TRY(const ByteView key, reader.fixed(kKeyBytes));
    TROTH_TRY_VOID(keys.add(version, Secret::copy_of(key)));
  }
  TROTH_TRY_VOID(reader.finish());
  return keys;
}

}  // namespace kdc
