#include "common/crypto/hkdf.hpp"
#include "common/crypto/scrypt.hpp"
#include "tests/support/test.hpp"
#include "vectors.hpp"

using namespace common;
using namespace common::crypto;

TEST_CASE("HKDF-SHA256 gives the published keys") {
  for (const Vector& v : load_vectors("hkdf_sha256.txt")) {
    const auto okm = hkdf_sha256(from_hex(v.at("ikm")), from_hex(v.at("salt")),
                                 from_hex(v.at("info")), v.at("okm").size() / 2);
    REQUIRE_OK(okm);
    CHECK(to_hex(okm->bytes()) == v.at("okm"));
  }
}

TEST_CASE("HKDF bounds its output") {
  CHECK_OK(hkdf_sha256(Bytes(32), {}, {}, 8160));
  CHECK_FAILS(hkdf_sha256(Bytes(32), {}, {}, 8161), ErrorCode::InvalidArgument);
  CHECK_FAILS(hkdf_sha256(Bytes(32), {}, {}, 0), ErrorCode::InvalidArgument);
}

TEST_CASE("keys derived for different purposes differ") {
  const Secret master = Secret::copy_of(Bytes(32, std::byte{9}));
  const auto hex = [&](std::string_view label, std::string_view context) {
    return to_hex(derive_key(master, label, as_bytes(context)).value().bytes());
  };
  CHECK(hex("ticket", "cell") == hex("ticket", "cell"));
  CHECK(hex("ticket", "cell") != hex("ticket2", "cell"));
  CHECK(hex("ticket", "cell") != hex("ticketc", "ell"));
  CHECK(hex("ticket", "cell") != hex("ticket", "cell2"));
  // Pinned: a change here would make everything sealed under derived keys unreadable.
  CHECK(hex("ticket", "cell") ==
        "489ac7effc17164c318760e3e5fc552ec8401602d74d12fe36f4e6104715fb31");
  CHECK_FAILS(derive_key(Secret(15), "x"), ErrorCode::InvalidArgument);
  CHECK_FAILS(derive_key(master, ""), ErrorCode::InvalidArgument);
  CHECK_FAILS(derive_key(master, std::string_view("a\0b", 3)), ErrorCode::InvalidArgument);
}

TEST_CASE("a deriver gives the keys that HKDF gives") {
  const Secret master = Secret::copy_of(Bytes(32, std::byte{3}));
  const auto deriver = KeyDeriver::create(master);
  REQUIRE_OK(deriver);
  for (const std::string_view context : {"", "cell",
                                         "a context longer than one block of SHA-256, "
                                         "so that nothing depends on its length"}) {
    const std::string info = std::string("troth/v1/label") + '\0' + std::string(context);
    const auto key = deriver->key("label", as_bytes(context));
    REQUIRE_OK(key);
    CHECK(to_hex(key->bytes()) ==
          to_hex(hkdf_sha256(master.bytes(), {}, as_bytes(info), 32).value().bytes()));
  }
  CHECK_FAILS(KeyDeriver::create(Secret(15)), ErrorCode::InvalidArgument);
  CHECK_FAILS(deriver->key(""), ErrorCode::InvalidArgument);
}

TEST_CASE("scrypt gives the published keys") {
  for (const Vector& v : load_vectors("scrypt.txt")) {
    const auto out = scrypt_unchecked_for_test(
        from_hex(v.at("password")), from_hex(v.at("salt")), std::stoul(v.at("n")),
        static_cast<std::uint32_t>(std::stoul(v.at("r"))),
        static_cast<std::uint32_t>(std::stoul(v.at("p"))), v.at("out").size() / 2);
    REQUIRE_OK(out);
    CHECK(to_hex(out->bytes()) == v.at("out"));
  }
}

TEST_CASE("scrypt parameters are never weak and never boundless") {
  CHECK_OK(ScryptParameters::make(15, 8, 1));
  CHECK_OK(ScryptParameters::make(18, 8, 1));  // 256 MiB exactly
  CHECK_FAILS(ScryptParameters::make(14, 8, 1), ErrorCode::InvalidArgument);
  CHECK_FAILS(ScryptParameters::make(15, 7, 1), ErrorCode::InvalidArgument);
  CHECK_FAILS(ScryptParameters::make(15, 8, 0), ErrorCode::InvalidArgument);
  CHECK_FAILS(ScryptParameters::make(15, 8, 17), ErrorCode::InvalidArgument);
  CHECK_FAILS(ScryptParameters::make(64, 8, 1), ErrorCode::InvalidArgument);
  CHECK_FAILS(ScryptParameters::make(19, 8, 1), ErrorCode::ResourceExhausted);
  CHECK_FAILS(ScryptParameters::make(15, 4'000'000'000U, 1), ErrorCode::InvalidArgument);
}

TEST_CASE("scrypt at the standard cost works and minds its salt and password") {
  const Secret password = Secret::copy_of(as_bytes("correct horse"));
  const auto standard = ScryptParameters::standard();
  const auto a = scrypt(password, Bytes(16), standard);
  REQUIRE_OK(a);
  CHECK(a->size() == 32);
  CHECK(to_hex(scrypt(password, Bytes(16, std::byte{1}), standard).value().bytes()) !=
        to_hex(a->bytes()));
  CHECK_FAILS(scrypt(password, Bytes(15), standard), ErrorCode::InvalidArgument);
  CHECK_FAILS(scrypt(Secret(5000), Bytes(16), standard), ErrorCode::TooLarge);
}
