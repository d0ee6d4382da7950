#pragma once

#include <string>

#include "common/crypto/scrypt.hpp"
#include "common/crypto/secret.hpp"
#include "common/db/transaction.hpp"
#include "kdc/types.hpp"

namespace kdc {

// What is answered for a name that does not exist: no different from what another user has. A user
// that the name's hash points at gives it his parameters, and when that user's key changes, so does
// the salt: asked again and again, a name that does not exist looks as alive as one that does.
struct Decoy {
  common::Bytes salt;
  common::crypto::ScryptParameters parameters = common::crypto::ScryptParameters::standard();
  common::crypto::Secret key;
  Id donor;  // the user whose parameters these are; kNobody if there are no users
  Kvno donor_kvno = 0;
};

common::Result<Decoy> make_decoy(common::db::ReadTx& tx, const common::crypto::Secret& secret,
                                 const std::string& cell, const std::string& name);

// The salt of a user's password: cell, NUL, name, NUL, 16 bytes (PROTOCOL.md, "Keys").
common::Bytes password_salt(std::string_view cell, std::string_view name,
                            std::span<const std::byte, 16> random);

}  // namespace kdc
