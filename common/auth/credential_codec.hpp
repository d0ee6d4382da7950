#pragma once

// A user's credentials as the bytes that the credential cache keeps (kdc/PROTOCOL.md, "Formats").

#include <string_view>
#include <vector>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/io/boot_id.hpp"
#include "common/result.hpp"
#include "common/ticket/credential.hpp"

namespace common::auth {

// Instants of the boot clock mean nothing in another boot.
using io::BootId;

// The TGT and tickets for what a person uses in a day, many times over.
inline constexpr std::size_t kMaxCachedCredentials = 64;
inline constexpr std::size_t kMaxCacheBytes = std::size_t{256} * 1024;

// InvalidArgument for credentials of another cell, or too many of them; TooLarge beyond
// kMaxCacheBytes.
Result<crypto::Secret> encode_credentials(std::string_view cell, const BootId& boot,
                                          const std::vector<ticket::Credential>& credentials);

// Corrupt if anything is wrong with the bytes, InvalidArgument if they are another cell's, Expired
// if they are another boot's: nothing then says what time it is for the KDC.
Result<std::vector<ticket::Credential>> decode_credentials(ByteView bytes, std::string_view cell,
                                                           const BootId& boot);

}  // namespace common::auth
