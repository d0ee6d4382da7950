// What a stranger's Hello carries.

#include "common/fileproto/sessions.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_credential) {
  using namespace common::fileproto;
  return fuzz::one_form(data, size, decode_stream_credential, encode_stream_credential);
}
