// A client's TGS request, as the KDC gets it from anybody.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_tgs_request) {
  return fuzz::one_encoding(data, size, common::ticket::decode_tgs_request,
                            common::ticket::encode_tgs_request);
}
