#include "fileserver/store/meta/database.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "fileserver/store/meta/schema.sql.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

constexpr common::db::Migration kMigrations[] = {{kSchemaSql}};

Bytes blob(const common::db::Statement& row, int column) {
  const auto bytes = row.column_blob(column);
  return {bytes.begin(), bytes.end()};
}

// Only the file system's word that there is no such name means absence; a disk that cannot answer
// has not lost the volume.
Result<bool> is_there(const std::string& path) {
  struct stat seen {};
  if (::lstat(path.c_str(), &seen) == 0)
    return true;
  if (errno == ENOENT || errno == ENOTDIR)
    return false;
  return common::fail_errno(errno, "looking for {}", path);
}

}  // namespace

std::span<const common::db::Migration> volume_migrations() {
  return kMigrations;
}

std::string metadata_path(const std::string& directory) {
  return directory + "/meta.db";
}

Status must_be_there(const std::string& directory) {
  TROTH_TRY(const bool database, is_there(metadata_path(directory)));
  TROTH_TRY(const bool mark, is_there(metadata_path(directory) + "-mark"));
  if (!database && !mark)
    return fail(ErrorCode::NotFound, "there is no volume in {}", directory);
  return {};
}

Result<std::optional<VolumeRow>> read_volume_row(common::db::ReadTx& tx) {
  TROTH_TRY(auto row,
            tx.query("SELECT uuid, id, created, format, sealed, epoch, reserved_seq, "
                     "reserved_node, floor, follows, boot, clean, last_segment FROM volume"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return std::optional<VolumeRow>();
  VolumeRow volume;
  const auto uuid = row.column_blob(0);
  if (uuid.size() != volume.uuid.size())
    return fail(ErrorCode::Corrupt, "the volume has no id");
  std::memcpy(volume.uuid.data(), uuid.data(), uuid.size());
  volume.id = common::VolumeId{static_cast<std::uint32_t>(row.column_int64(1))};
  volume.created = row.column_int64(2);
  volume.format = static_cast<std::uint32_t>(row.column_int64(3));
  if (!row.column_is_null(4))
    volume.sealed = blob(row, 4);
  volume.epoch = Epoch{row.column_uint64(5)};
  volume.reserved_seq = Seq{row.column_uint64(6)};
  volume.reserved_node = NodeId{row.column_uint64(7)};
  volume.floor = Seq{row.column_uint64(8)};
  volume.follows = row.column_int64(9) != 0;
  volume.boot = blob(row, 10);
  volume.clean = row.column_int64(11) != 0;
  volume.last_segment = static_cast<std::uint32_t>(row.column_int64(12));
  return std::optional(std::move(volume));
}

}  // namespace fileserver::store
