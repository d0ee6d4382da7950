#pragma once

// Tails and symlink targets as they lie in the database: plain, or sealed in a sealed volume.

#include <memory>

#include "common/crypto/secret.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

// What sealing adds to the bytes.
inline constexpr std::uint64_t kSealOverhead = 28;

// Safe from any thread.
class TailSeal {
 public:
  TailSeal() = default;  // plain
  // A key for each 2^24 ids is derived from the volume's: a seal's random nonce allows no more than
  // 2^32 uses of one key.
  [[nodiscard]] static Result<TailSeal> create(const common::crypto::Secret& volume_key);

  [[nodiscard]] Result<Bytes> seal(std::uint64_t id, ByteView plain) const;
  [[nodiscard]] Result<Bytes> open(std::uint64_t id, ByteView stored) const;
  [[nodiscard]] bool is_plain() const { return key_ == nullptr; }

 private:
  std::shared_ptr<const common::crypto::Secret> key_;
};

}  // namespace fileserver::store
