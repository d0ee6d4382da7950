#pragma once

// The whole database as text, and back. Keys stay sealed: a dump is worth nothing without the stash
// file of the same time, which is kept elsewhere.

#include <functional>
#include <span>
#include <string_view>

#include "common/crypto/hash.hpp"
#include "kdc/database.hpp"

namespace kdc {

// Text that is too large for memory is no dump of a KDC.
inline constexpr std::size_t kMostDump = std::size_t{4} << 30;

// Gives out line by line what the database holds at one moment. `out` must not block for long: the
// database keeps that moment for it.
common::Status dump(Core& core, const std::function<common::Status(std::string_view line)>& out);

// Makes the database of a dump in a directory that has none, all or nothing. The stash file must be
// there and fit. AlreadyExists, Corrupt (the dump is cut or changed), InvalidArgument.
common::Status load(const DatabaseOptions& options, std::string_view text,
                    const common::Clock& clock);

// SHA-256 of all rows: two databases with the same one hold the same.
common::Result<common::crypto::Digest> digest(Core& core);

// What is dumped. `types`: i integer, t text, b bytes, one for each column.
struct DumpedTable {
  std::string_view name;
  std::string_view columns;
  std::string_view types;
  std::string_view order;
};
std::span<const DumpedTable> dumped_tables();

}  // namespace kdc
