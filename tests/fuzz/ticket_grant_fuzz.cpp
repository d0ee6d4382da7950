// The plaintext of what the KDC seals for a client.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_grant) {
  return fuzz::one_secret_encoding(data, size, common::ticket::decode_grant,
                                   common::ticket::encode_grant);
}
