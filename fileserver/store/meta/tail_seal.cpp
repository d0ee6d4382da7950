#include "fileserver/store/meta/tail_seal.hpp"

#include "common/crypto/aead.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/wire/binary.hpp"

namespace fileserver::store {

namespace {

using common::wire::BinaryWriter;

static_assert(kSealOverhead == common::crypto::kAeadOverhead);

Result<common::crypto::Secret> key_for(const common::crypto::Secret& master, std::uint64_t id) {
  const Bytes range = BinaryWriter().u64(id >> 24U).take();
  return common::crypto::derive_key(master, "troth tail", range);
}

}  // namespace

Result<TailSeal> TailSeal::create(const common::crypto::Secret& volume_key) {
  TROTH_TRY(auto key, common::crypto::derive_key(volume_key, "troth tails"));
  TailSeal seal;
  seal.key_ = std::make_shared<const common::crypto::Secret>(std::move(key));
  return seal;
}

Result<Bytes> TailSeal::seal(std::uint64_t id, ByteView plain) const {
  if (is_plain())
    return Bytes(plain.begin(), plain.end());
  TROTH_TRY(const auto key, key_for(*key_, id));
  return common::crypto::seal(key, plain, BinaryWriter().u64(id).view());
}

Result<Bytes> TailSeal::open(std::uint64_t id, ByteView stored) const {
  if (is_plain())
    return Bytes(stored.begin(), stored.end());
  TROTH_TRY(const auto key, key_for(*key_, id));
  return common::crypto::open(key, stored, BinaryWriter().u64(id).view());
}

}  // namespace fileserver::store
