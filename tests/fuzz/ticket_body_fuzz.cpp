// The plaintext of a ticket's seal.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_body) {
  return fuzz::one_secret_encoding(data, size, common::ticket::decode_ticket_body,
                                   common::ticket::encode_ticket_body);
}
