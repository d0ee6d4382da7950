// A client's AP request, as a service gets it from anybody.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_ap_request) {
  return fuzz::one_encoding(data, size, common::ticket::decode_ap_request,
                            common::ticket::encode_ap_request);
}
