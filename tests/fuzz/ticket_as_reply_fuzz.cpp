// The KDC's AS reply, as a client gets it.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_as_reply) {
  return fuzz::one_encoding(data, size, common::ticket::decode_as_reply,
                            common::ticket::encode_as_reply);
}
