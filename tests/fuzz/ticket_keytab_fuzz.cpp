// A keytab: as it is, and with a checksum that fits, which no input of chance would have.

#include "common/crypto/hash.hpp"
#include "common/ticket/keytab.hpp"
#include "tests/fuzz/ticket_fuzz.hpp"

namespace {

void check_keytab(common::ByteView file) {
  using namespace common::ticket;
  const auto keytab = decode_keytab(file);
  if (!keytab) {
    fuzz::require(keytab.error().code == common::ErrorCode::Corrupt, "ill-formed means Corrupt");
    return;
  }
  fuzz::require(keytab->newest() != nullptr && keytab->entries().size() <= kMaxKeytabKeys,
                "between one key and the cap");
  const auto back = encode_keytab(*keytab);
  fuzz::require(back && std::ranges::equal(back->bytes(), file), "one encoding");
}

}  // namespace

FUZZ_TARGET(ticket_keytab) {
  const common::ByteView input = fuzz::bytes(data, size);
  check_keytab(input);
  common::Bytes whole(input.begin(), input.end());
  if (const auto checksum = common::crypto::sha256(input))
    whole.insert(whole.end(), checksum->begin(), checksum->end());
  check_keytab(whole);
  return 0;
}
