// The plaintext of a ticket's seal.

#include "tests/fuzz/ticket_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::one_secret_encoding(data, size, common::ticket::decode_ticket_body,
                                   common::ticket::encode_ticket_body);
}
