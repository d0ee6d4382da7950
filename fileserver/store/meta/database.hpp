#pragma once

// The volume's database as such: its schema, its identity, how it is opened.

#include <memory>
#include <span>

#include "common/db/database.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

inline constexpr std::uint32_t kVolumeApplicationId = 0x54725653;  // "TrVS"
inline constexpr std::uint32_t kVolumeFormat = 1;

[[nodiscard]] std::span<const common::db::Migration> volume_migrations();

// DIRECTORY/meta.db
[[nodiscard]] std::string metadata_path(const std::string& directory);

// Opening a database makes one where there is none, so this comes before opening a volume's.
// NotFound if nothing is there; IoError and the like if that cannot be told.
[[nodiscard]] Status must_be_there(const std::string& directory);

// What the one row of `volume` says.
struct VolumeRow {
  VolumeUuid uuid{};
  common::VolumeId id;
  std::int64_t created = 0;
  std::uint32_t format = 0;
  std::optional<Bytes> sealed;
  Epoch epoch;
  Seq reserved_seq;
  NodeId reserved_node;
  std::uint32_t last_segment = 0;
  Seq floor;
  bool follows = false;
  Bytes boot;
  bool clean = false;
};
// nullopt: the database was made and the volume was not (a crash between the two).
[[nodiscard]] Result<std::optional<VolumeRow>> read_volume_row(common::db::ReadTx& tx);

}  // namespace fileserver::store
