// A client's TGS request, as the KDC gets it from anybody.

#include "tests/fuzz/ticket_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::one_encoding(data, size, common::ticket::decode_tgs_request,
                            common::ticket::encode_tgs_request);
}
