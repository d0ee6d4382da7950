#pragma once

#include "common/bytes.hpp"
#include "common/crypto/scrypt.hpp"
#include "common/crypto/secret.hpp"

namespace kdc {

// A password as scrypt made a key of it: what the KDC keeps of it.
struct PasswordKey {
  common::Bytes salt;
  common::crypto::ScryptParameters parameters = common::crypto::ScryptParameters::standard();
  common::crypto::Secret key;
};

}  // namespace kdc
