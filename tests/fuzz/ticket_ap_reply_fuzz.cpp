// A service's AP reply, as a client gets it.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_ap_reply) {
  return fuzz::one_encoding(data, size, common::ticket::decode_ap_reply,
                            common::ticket::encode_ap_reply);
}
