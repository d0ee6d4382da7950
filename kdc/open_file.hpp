#pragma once

#include <memory>

#include "kdc/database.hpp"

namespace kdc {

// The database's file alone, made if it is missing; what is in it is the caller's business.
common::Result<std::unique_ptr<common::db::Database>> open_file(const DatabaseOptions& options,
                                                                const common::Clock& clock);

}  // namespace kdc
