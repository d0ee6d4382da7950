#include "fileserver/volumes/volume_files.hpp"

#include <fmt/format.h>

#include "common/crypto/random.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::VolumeId;
using common::crypto::Secret;
using common::io::EntryKind;
using common::io::FileIo;

constexpr std::string_view kVolumes = "volumes";
constexpr std::string_view kKeys = "volume-keys";
// Of what a dump is being loaded into (fileserver/dump).
constexpr std::string_view kLoading = ".load";
// Written into a volume's directory to see whether that can be done.
constexpr std::string_view kTry = "disk-try";
constexpr std::size_t kTryBytes = 4096;
// A volume's own directories are one level deep; whatever is deeper is not ours.
constexpr int kMostDepth = 4;

std::string name_of(VolumeId id) {
  return fmt::format("{:08x}", id.value);
}
std::string key_name(VolumeId id) {
  return name_of(id) + ".key";
}

Status made_or_there(const Status& made) {
  if (!made && made.error().code == ErrorCode::AlreadyExists)
    return {};
  return made;
}

Status gone_or_missing(const Status& gone) {
  if (!gone && gone.error().code == ErrorCode::NotFound)
    return {};
  return gone;
}

Status remove_tree(FileIo& io, const std::string& path, int depth) {
  if (depth > kMostDepth)
    return fail(ErrorCode::Corrupt, "{} is deeper than any volume: remove it yourself", path);
  const auto entries = io.list(path);
  if (!entries)
    return gone_or_missing(tl::unexpected(entries.error()));
  for (const auto& entry : *entries) {
    const std::string child = path + "/" + entry.name;
    if (entry.kind == EntryKind::Directory)
      TROTH_TRY_VOID(remove_tree(io, child, depth + 1));
    else
      TROTH_TRY_VOID(gone_or_missing(io.unlink(child)));
  }
  return gone_or_missing(io.remove_directory(path));
}

}  // namespace

Result<std::unique_ptr<VolumeFiles>> VolumeFiles::open(const std::string& directory,
                                                       const std::string& keys) {
  const std::string key_directory = keys.empty() ? fmt::format("{}/{}", directory, kKeys) : keys;
  std::unique_ptr<VolumeFiles> files(new VolumeFiles(directory, key_directory));
  TROTH_TRY(files->files_, common::io::PosixFileIo::open_root(directory));
  TROTH_TRY_VOID(made_or_there(files->files_->make_directory(kVolumes)));
  if (keys.empty())
    TROTH_TRY_VOID(made_or_there(files->files_->make_directory(kKeys)));
  TROTH_TRY_VOID(files->files_->sync_directory(""));
  TROTH_TRY(files->keys_, common::io::PosixFileIo::open_root(key_directory));
  return files;
}

std::string VolumeFiles::path_of(VolumeId id) const {
  return fmt::format("{}/{}/{}", directory_, kVolumes, name_of(id));
}

Status VolumeFiles::make_directory(VolumeId id) {
  TROTH_TRY_VOID(files_->make_directory(fmt::format("{}/{}", kVolumes, name_of(id))));
  return files_->sync_directory(kVolumes);
}

Status VolumeFiles::try_to_write(VolumeId id) {
  const std::string path = fmt::format("{}/{}/{}", kVolumes, name_of(id), kTry);
  const auto attempt = [&]() -> Status {
    TROTH_TRY(const auto file, files_->open(path, common::io::OpenMode::ReadWriteCreate));
    TROTH_TRY_VOID(file->write_at(0, std::vector<std::byte>(kTryBytes)));
    return file->sync();
  };
  const Status tried = attempt();
  const Status gone = gone_or_missing(files_->unlink(path));
  return tried ? gone : tried;
}

Status VolumeFiles::remove(VolumeId id) {
  for (const std::string_view end : {std::string_view(), kLoading})
    TROTH_TRY_VOID(remove_tree(*files_, fmt::format("{}/{}{}", kVolumes, name_of(id), end), 0));
  TROTH_TRY_VOID(files_->sync_directory(kVolumes));
  TROTH_TRY_VOID(gone_or_missing(keys_->unlink(key_name(id))));
  return keys_->sync_directory("");
}

Result<Secret> VolumeFiles::make_key(VolumeId id) {
  Secret key(kVolumeKeyBytes);
  TROTH_TRY_VOID(common::crypto::random_bytes(key.writable()));
  TROTH_TRY_VOID(common::io::write_file_atomically(*keys_, key_name(id), key.bytes()));
  return key;
}

Result<Secret> VolumeFiles::read_key(VolumeId id) {
  auto bytes = common::io::read_whole_file(*keys_, key_name(id), kVolumeKeyBytes);
  if (!bytes)
    return fail(bytes.error().code, "the key {}/{} of a sealed volume cannot be read: {}",
                key_directory_, key_name(id), bytes.error().message);
  Secret key = Secret::copy_of(*bytes);
  common::crypto::wipe(*bytes);
  if (key.size() != kVolumeKeyBytes)
    return fail(ErrorCode::Corrupt, "{}/{} is no volume's key", key_directory_, key_name(id));
  return key;
}

}  // namespace fileserver
