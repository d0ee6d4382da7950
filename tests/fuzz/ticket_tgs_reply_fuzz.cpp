// The KDC's TGS reply, as a client gets it.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_tgs_reply) {
  return fuzz::one_encoding(data, size, common::ticket::decode_tgs_reply,
                            common::ticket::encode_tgs_reply);
}
