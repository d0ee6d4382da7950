#include "common/fileproto/sessions.hpp"

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace common::fileproto {

Result<Proof> session_proof(ByteView key, std::string_view label, ByteView binding,
                            std::string_view name) {
  return crypto::hmac_sha256(key, {as_bytes(label), binding, as_bytes(name)});
}

bool is_session_proof(ByteView key, std::string_view label, ByteView binding, std::string_view name,
                      const Proof& proof) {
  const auto right = session_proof(key, label, binding, name);
  return right && crypto::constant_time_equal(*right, proof);
}

Bytes encode_stream_credential(const StreamCredential& credential) {
  wire::BinaryWriter out;
  out.u64(credential.session.value).fixed(credential.proof);
  return out.take();
}

Result<StreamCredential> decode_stream_credential(ByteView bytes) {
  wire::BinaryReader in(bytes);
  StreamCredential credential;
  TROTH_TRY(credential.session.value, in.u64());
  TROTH_TRY_VOID(in.fixed(std::span<std::byte>(credential.proof)));
  TROTH_TRY_VOID(in.finish());
  return credential;
}

}  // namespace common::fileproto
