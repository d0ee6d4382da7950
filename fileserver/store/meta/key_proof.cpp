#include "fileserver/store/meta/key_proof.hpp"

#include "common/crypto/hash.hpp"
#include "common/crypto/hkdf.hpp"

namespace fileserver::store {

using common::ErrorCode;
using common::fail;

Result<Bytes> key_proof(const common::crypto::Secret& key, const VolumeUuid& uuid) {
  TROTH_TRY(const auto proof, common::crypto::derive_key(key, "troth volume proof", uuid));
  TROTH_TRY(const auto digest, common::crypto::sha256(proof.bytes()));
  return Bytes(digest.begin(), digest.end());
}

Status check_key(const std::optional<Bytes>& proof, const common::crypto::Secret* key,
                 const VolumeUuid& uuid) {
  if (!proof && key == nullptr)
    return {};
  if (!proof)
    return fail(ErrorCode::InvalidArgument, "the volume is not sealed: open it without a key");
  if (key == nullptr)
    return fail(ErrorCode::InvalidArgument, "the volume is sealed: its key is needed");
  TROTH_TRY(const Bytes own, key_proof(*key, uuid));
  if (!common::crypto::constant_time_equal(own, *proof))
    return fail(ErrorCode::InvalidArgument, "this is not the key of the volume");
  return {};
}

}  // namespace fileserver::store
