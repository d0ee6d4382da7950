#pragma once

// The master keys: they seal every key in the database and are kept in a file beside it, never in
// it. There are two only while one replaces the other (master_rollover.hpp).

#include <map>
#include <string>
#include <vector>

#include "common/crypto/hash.hpp"
#include "common/crypto/secret.hpp"
#include "kdc/types.hpp"

namespace kdc {

// What a sealed key may be used for; a number in the database.
enum class KeyPurpose : std::uint8_t {
  User = 1,     // scrypt of a password
  Service = 2,  // random: services, hosts, the KDC's own
  Database = 3  // the database's own secret (decoys, counters, audit)
};

// Where a sealed key belongs: it opens in no other row.
struct KeyPlace {
  Id principal;
  Kvno kvno = 0;
  KeyPurpose purpose = KeyPurpose::User;
};

// A few master keys by version, and what is derived of them. A value that does not change while it
// is shared between threads.
class MasterKeys {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kMost = 4;  // two are enough; interrupted rollovers add none

  explicit MasterKeys(std::string cell) : cell_(std::move(cell)) {}
  MasterKeys(MasterKeys&&) = default;
  MasterKeys& operator=(MasterKeys&&) = default;
  [[nodiscard]] MasterKeys clone() const;

  // A random key under version newest() + 1.
  [[nodiscard]] common::Status add_random();
  [[nodiscard]] common::Status add(std::uint32_t version, const common::crypto::Secret& key);
  void remove(std::uint32_t version) { keys_.erase(version); }

  [[nodiscard]] const std::string& cell() const { return cell_; }
  [[nodiscard]] bool has(std::uint32_t version) const { return keys_.contains(version); }
  [[nodiscard]] std::uint32_t newest() const;  // 0 if there is none
  [[nodiscard]] std::vector<std::uint32_t> versions() const;
  // Tells keys apart without giving anything away. NotFound if there is no such version.
  [[nodiscard]] common::Result<common::crypto::Digest> fingerprint(std::uint32_t version) const;

  // AES-256-GCM under HKDF(master, "troth kdb v1"), with cell and place as associated data.
  [[nodiscard]] common::Result<common::Bytes> seal(std::uint32_t version, const KeyPlace& place,
                                                   const common::crypto::Secret& key) const;
  // Corrupt if anything differs from what was sealed; NotFound if the version is not here.
  [[nodiscard]] common::Result<common::crypto::Secret> open(std::uint32_t version,
                                                            const KeyPlace& place,
                                                            common::ByteView sealed) const;

  // The stash file: private (0600), owned by us or root, no symbolic link; refused otherwise.
  // Saving replaces it in one step and is durable when it returns. Both block on the disk.
  [[nodiscard]] static common::Result<MasterKeys> load(const std::string& path,
                                                       const std::string& cell);
  [[nodiscard]] common::Status save(const std::string& path) const;

 private:
  struct Entry {
    common::crypto::Secret key;
    common::crypto::Secret sealing;  // derived
  };
  [[nodiscard]] common::Bytes associated(std::uint32_t version, const KeyPlace& place) const;

  std::string cell_;
  std::map<std::uint32_t, Entry> keys_;
};

}  // namespace kdc
