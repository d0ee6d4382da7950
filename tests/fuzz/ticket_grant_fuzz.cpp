// The plaintext of what the KDC seals for a client.

#include "tests/fuzz/ticket_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::one_secret_encoding(data, size, common::ticket::decode_grant,
                                   common::ticket::encode_grant);
}
