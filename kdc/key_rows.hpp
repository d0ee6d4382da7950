#pragma once

// What keys.cpp and key_rotation.cpp share. Inside a transaction.

#include <string_view>
#include <vector>

#include "kdc/keys.hpp"

namespace kdc {

// The kvnos that a query with the parameters principal and `argument` finds.
common::Result<std::vector<Kvno>> kvnos(common::db::ReadTx& tx, std::string_view sql, Id principal,
                                        std::uint64_t argument);
common::Status destroy_keys(common::db::WriteTx& tx, Id principal, const std::vector<Kvno>& which);

// The key is the one in use from now on; what becomes of others is the caller's business.
common::Status make_active(common::db::WriteTx& tx, const Principal& principal, Kvno kvno,
                           Time now);

// InvalidArgument for a user.
common::Result<Principal> need_service(common::db::ReadTx& tx, Id id);

}  // namespace kdc
