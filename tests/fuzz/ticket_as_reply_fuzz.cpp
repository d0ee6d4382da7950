// The KDC's AS reply, as a client gets it.

#include "tests/fuzz/ticket_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::one_encoding(data, size, common::ticket::decode_as_reply,
                            common::ticket::encode_as_reply);
}
