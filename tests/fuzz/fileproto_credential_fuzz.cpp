// What a stranger's Hello carries.

#include "common/fileproto/sessions.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace common::fileproto;
  return fuzz::one_form(data, size, decode_stream_credential, encode_stream_credential);
}
