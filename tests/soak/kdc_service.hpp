#pragma once

// A service of the soak's cell, as a process of its own.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/crypto/hash.hpp"
#include "common/result.hpp"

namespace soak_kdc {

// The head that all travelling proofs of honest users are for.
inline constexpr common::crypto::Digest kHead{std::byte{3}};

// What has nothing to do with what is tried ends the run.
[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "soak_kdc: %s\n", why.c_str());
  std::exit(3);
}

template <typename T>
T take(common::Result<T> result) {
  if (!result)
    die(result.error().message);
  return *std::move(result);
}

// `soak_kdc --serve DIRECTORY SERVICE`: `auth`, `whoami` with a session, and `proof`, which takes a
// travelling proof once. Prints "ready PORT" and serves until SIGTERM. DIRECTORY holds the
// certificate, NAME.keytab and NAME.replay of fileserver/NAME.
int serve(const std::string& directory, const std::string& service);

}  // namespace soak_kdc
