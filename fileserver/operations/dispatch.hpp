#pragma once

// The file protocol's calls in the server's table: who calls, in which session, counted and logged.

#include "common/metrics/registry.hpp"
#include "common/result.hpp"
#include "common/rpc/operations.hpp"
#include "fileserver/operations/file_parts.hpp"

namespace fileserver {

// Which calls the access log has a line for.
enum class AccessLog : std::uint8_t {
  Off,
  Refused,  // those that were refused for lack of rights
  Changes,  // and all that change something
  All,
};

// Adds `file/<operation>` for every operation there is. All that is given outlives the table.
[[nodiscard]] common::Status add_file_operations(common::rpc::OperationTable& table,
                                                 FileParts& parts,
                                                 common::metrics::Registry& metrics, AccessLog log);

}  // namespace fileserver
