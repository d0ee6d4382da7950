// What a KDC begins with: as it is, and with a checksum that fits, which no input of chance would
// have.

#include "common/cell/first_contents.hpp"
#include "common/crypto/hash.hpp"
#include "tests/fuzz/ticket_fuzz.hpp"

namespace {

void check_contents(common::ByteView file) {
  using namespace common::cell;
  const auto contents = decode_first_contents(file);
  if (!contents) {
    fuzz::require(contents.error().code == common::ErrorCode::Corrupt, "ill-formed means Corrupt");
    return;
  }
  fuzz::require(contents->services.size() <= kMostFirstServices, "below the cap");
  const auto back = encode_first_contents(*contents);
  fuzz::require(back && std::ranges::equal(back->bytes(), file), "one encoding");
}

}  // namespace

FUZZ_TARGET(first_contents) {
  const common::ByteView input = fuzz::bytes(data, size);
  check_contents(input);
  common::Bytes whole(input.begin(), input.end());
  if (const auto checksum = common::crypto::sha256(input))
    whole.insert(whole.end(), checksum->begin(), checksum->end());
  check_contents(whole);
  return 0;
}
