#pragma once

// Where volumes lie on the disk of a server, and their keys:
//
//   DIRECTORY/volumes/00abcdef/...      8 hex digits: the volume's id
//   DIRECTORY/volume-keys/00abcdef.key  32 bytes, of a sealed volume

#include <memory>
#include <string>

#include "common/crypto/secret.hpp"
#include "common/ids.hpp"
#include "common/io/file_io.hpp"
#include "common/result.hpp"

namespace fileserver {

inline constexpr std::size_t kVolumeKeyBytes = 32;

// Safe from any thread; blocks on the disk.
class VolumeFiles {
 public:
  // Makes the directories that are missing. `keys`: another directory for the keys, which must
  // exist; empty: in `directory`.
  [[nodiscard]] static common::Result<std::unique_ptr<VolumeFiles>> open(
      const std::string& directory, const std::string& keys);

  // The volume's own directory; whether it is there is another question.
  [[nodiscard]] std::string path_of(common::VolumeId id) const;
  // An empty directory, durable. One that is there already must go first.
  [[nodiscard]] common::Status make_directory(common::VolumeId id);
  // Whether its disk takes a file, and keeps it, just now.
  [[nodiscard]] common::Status try_to_write(common::VolumeId id);
  // The directory with all that is in it, what was being loaded there, and the key; nothing there
  // is success. Durable.
  [[nodiscard]] common::Status remove(common::VolumeId id);

  // A new random key, durable before it is returned.
  [[nodiscard]] common::Result<common::crypto::Secret> make_key(common::VolumeId id);
  // NotFound says which file is missing.
  [[nodiscard]] common::Result<common::crypto::Secret> read_key(common::VolumeId id);

 private:
  VolumeFiles(std::string directory, std::string key_directory)
      : directory_(std::move(directory)), key_directory_(std::move(key_directory)) {}

  const std::string directory_;
  const std::string key_directory_;
  std::unique_ptr<common::io::FileIo> files_;
  std::unique_ptr<common::io::FileIo> keys_;
};

}  // namespace fileserver
