#pragma once

// Takes the first contents into an empty database (common/cell/first_contents.hpp).

#include <string>

#include "common/cell/first_contents.hpp"
#include "common/db/database.hpp"
#include "kdc/master_key.hpp"

namespace kdc {

// Whether anything is in the database yet.
common::Result<bool> has_contents(common::db::Database& db);

// Everything in one transaction: ids, groups, policies, the KDC's own services with fresh keys,
// the cell's services, the first administrator, the database's own secret, the first audit record.
common::Status import_first_contents(common::db::WriteTx& tx, const MasterKeys& masters,
                                     const common::cell::FirstContents& contents, Time now);

// The database's own secret: principal 0, kvno 1.
inline constexpr KeyPlace kSecretPlace{kNobody, 1, KeyPurpose::Database};
common::Result<common::crypto::Secret> open_database_secret(common::db::ReadTx& tx,
                                                            const MasterKeys& masters);

}  // namespace kdc
