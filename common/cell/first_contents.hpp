#pragma once

// What a new cell's KDC begins with: a small private file that making the cell writes beside the
// KDC's configuration, and that the KDC takes in at its first start and destroys.

#include <cstdint>
#include <string>
#include <vector>

#include "common/bytes.hpp"
#include "common/crypto/scrypt.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::cell {

// The name of the file in the KDC's data directory.
inline constexpr std::string_view kFirstContentsFile = "first-contents";

// A service or host with its random key, which its keytab holds as kvno 1.
struct FirstService {
  std::string name;  // "fileserver/fs1"; "host/desk7" is a host
  crypto::Secret key;
};

struct FirstContents {
  std::string cell;           // its id
  crypto::Secret master_key;  // 32 random bytes
  std::vector<FirstService> services;
  // The first administrator: a user, member of system:administrators.
  std::string administrator;
  Bytes salt;
  crypto::ScryptParameters parameters = crypto::ScryptParameters::standard();
  crypto::Secret administrator_key;
};

inline constexpr std::size_t kMostFirstServices = 1000;
inline constexpr std::size_t kMostFirstContents = std::size_t{1} << 18;

// The bytes, for a private file (0600). InvalidArgument if something is missing or too long.
Result<crypto::Secret> encode_first_contents(const FirstContents& contents);
// Corrupt if it is not what was encoded. Names are checked by whoever takes them in.
Result<FirstContents> decode_first_contents(ByteView bytes);

}  // namespace common::cell
