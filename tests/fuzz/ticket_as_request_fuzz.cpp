// A client's AS request, as the KDC gets it from anybody.

#include "tests/fuzz/ticket_fuzz.hpp"

FUZZ_TARGET(ticket_as_request) {
  return fuzz::one_encoding(data, size, common::ticket::decode_as_request,
                            common::ticket::encode_as_request);
}
