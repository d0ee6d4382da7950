// Messages of a session's stream, of both sides.

#include "common/fileproto/stream_messages.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_messages) {
  using namespace common::fileproto;
  fuzz::one_form(data, size, decode_server_message,
                 [](const ServerMessage& message) { return encode_message(message).value(); });
  return fuzz::one_form(data, size, decode_mount_message, [](const MountMessage& message) {
    return encode_message(message).value();
  });
}
