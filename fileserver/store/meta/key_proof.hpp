#pragma once

// What a sealed volume keeps to tell its own key from another.

#include "common/crypto/secret.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

[[nodiscard]] Result<Bytes> key_proof(const common::crypto::Secret& key, const VolumeUuid& uuid);

// InvalidArgument unless a sealed volume (it has a proof) is given its own key, and another none.
[[nodiscard]] Status check_key(const std::optional<Bytes>& proof, const common::crypto::Secret* key,
                               const VolumeUuid& uuid);

}  // namespace fileserver::store
