#include "common/crypto/openssl.hpp"

#include <openssl/err.h>
#include <openssl/params.h>

namespace common::crypto::openssl {

OSSL_PARAM octets(const char* name, ByteView bytes) {
  static std::byte nothing{};  // the library takes no null pointer, even for no bytes
  auto* start = bytes.empty() ? &nothing : const_cast<std::byte*>(bytes.data());
  return OSSL_PARAM_construct_octet_string(name, start, bytes.size());
}

tl::unexpected<Error> failure(ErrorCode code, std::string_view what) {
  const unsigned long newest = ERR_peek_last_error();
  const char* reason = newest == 0 ? nullptr : ERR_reason_error_string(newest);
  ERR_clear_error();
  if (reason == nullptr)
    return fail(code, "{}", what);
  return fail(code, "{}: {}", what, reason);
}

}  // namespace common::crypto::openssl
