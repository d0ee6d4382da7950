#include "common/crypto/aead.hpp"

#include <algorithm>
#include <set>

#include "common/crypto/hash.hpp"
#include "tests/support/test.hpp"
#include "vectors.hpp"

using namespace common;
using namespace common::crypto;

TEST_CASE("AES-256-GCM seals and opens the published messages") {
  for (const Vector& v : load_vectors("aes_256_gcm.txt")) {
    const Secret key = Secret::copy_of(from_hex(v.at("key")));
    const Bytes plaintext = from_hex(v.at("plaintext"));
    const Bytes associated = from_hex(v.at("associated"));
    const auto sealed =
        seal_with_nonce_for_test(key, from_hex(v.at("nonce")), plaintext, associated);
    REQUIRE_OK(sealed);
    CHECK(to_hex(*sealed) == v.at("nonce") + v.at("ciphertext") + v.at("tag"));
    const auto opened = open(key, *sealed, associated);
    REQUIRE_OK(opened);
    CHECK(*opened == plaintext);
  }
}

TEST_CASE("no changed bit, no truncation and no extension of a sealed message opens") {
  const Secret key = new_aead_key().value();
  const ByteView purpose = as_bytes("ticket for fileserver");
  Bytes sealed = seal(key, as_bytes("forty-two bytes of something worth keeping"), purpose).value();
  REQUIRE_OK(open(key, sealed, purpose));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    sealed[bit / 8] ^= std::byte(1 << (bit % 8));
    CHECK_FAILS(open(key, sealed, purpose), ErrorCode::Corrupt);
    sealed[bit / 8] ^= std::byte(1 << (bit % 8));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    CHECK_FAILS(open(key, ByteView(sealed).first(size), purpose), ErrorCode::Corrupt);
    CHECK_FAILS(open_secret(key, ByteView(sealed).last(size), purpose), ErrorCode::Corrupt);
  }
  sealed.push_back(std::byte{0});
  CHECK_FAILS(open(key, sealed, purpose), ErrorCode::Corrupt);
}

TEST_CASE("a seal opens under its own key and purpose only") {
  const Secret key = new_aead_key().value();
  const Bytes sealed = seal(key, as_bytes("x"), as_bytes("purpose a")).value();
  CHECK_FAILS(open(key, sealed, as_bytes("purpose b")), ErrorCode::Corrupt);
  CHECK_FAILS(open(key, sealed, {}), ErrorCode::Corrupt);
  CHECK_FAILS(open(new_aead_key().value(), sealed, as_bytes("purpose a")), ErrorCode::Corrupt);
  CHECK_FAILS(open(Secret(16), sealed, {}), ErrorCode::InvalidArgument);
  CHECK_FAILS(seal(Secret(31), {}, {}), ErrorCode::InvalidArgument);
}

TEST_CASE("nonces do not repeat and lengths are exact") {
  const Secret key = new_aead_key().value();
  std::set<Bytes> nonces;
  for (int i = 0; i < 1000; ++i) {
    const Bytes sealed = seal(key, {}, {}).value();
    CHECK(sealed.size() == kAeadOverhead);
    nonces.insert(Bytes(sealed.begin(), sealed.begin() + kAeadNonceBytes));
  }
  CHECK(nonces.size() == 1000);
  Bytes wrong_size(10 + kAeadOverhead - 1);
  CHECK_FAILS(seal_into(key, Bytes(10), {}, wrong_size), ErrorCode::InvalidArgument);
  const Bytes sealed = seal(key, Bytes(10), {}).value();
  Bytes out(11);
  CHECK_FAILS(open_into(key, sealed, {}, out), ErrorCode::InvalidArgument);
}

TEST_CASE("what does not open leaves no plaintext behind") {
  const Secret key = new_aead_key().value();
  const std::string text(100'000, 'p');
  Bytes sealed = seal(key, as_bytes(text), {}).value();
  sealed.back() ^= std::byte{1};
  Bytes out(text.size(), std::byte{7});
  CHECK_FAILS(open_into(key, sealed, {}, out), ErrorCode::Corrupt);
  CHECK(std::all_of(out.begin(), out.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("a sealed secret comes back as a secret") {
  const Secret key = new_aead_key().value();
  const Bytes sealed = seal(key, key.bytes(), {}).value();
  const auto opened = open_secret(key, sealed, {});
  REQUIRE_OK(opened);
  CHECK(constant_time_equal(opened->bytes(), key.bytes()));
}
