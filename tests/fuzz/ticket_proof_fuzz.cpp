// A proof that travels, as a service gets it from anybody.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_proof) {
  return fuzz::one_encoding(data, size, common::ticket::decode_travelling_proof,
                            common::ticket::encode_travelling_proof);
}
