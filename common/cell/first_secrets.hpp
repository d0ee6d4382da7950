#pragma once

// The secrets of a new cell: service keys, the administrator's password and the KDC's master key.
// For making a cell; no file is touched.

#include <string>
#include <string_view>

#include "common/cell/first_contents.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::cell {

struct NewServiceKeys {
  FirstService service;
  crypto::Secret keytab;  // the file's bytes; the same key as kvno 1
};
Result<NewServiceKeys> new_service_keys(const std::string& cell, const std::string& name);

// A random password of 80 bits that can be read out and typed: four groups of four small letters
// and digits, none of which looks like another.
Result<crypto::Secret> new_readable_password();

// A fresh master key and the administrator's, for his password; `random` is set to a password made
// for him if he brings none. Takes one scrypt.
Result<FirstContents> new_first_contents(std::string_view cell, std::string_view administrator,
                                         const crypto::Secret* password, crypto::Secret& random);

}  // namespace common::cell
