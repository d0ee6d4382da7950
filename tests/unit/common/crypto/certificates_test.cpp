#include "common/crypto/certificates.hpp"

#include "tests/support/test.hpp"

using namespace common;
using namespace common::crypto;
using namespace std::chrono_literals;

namespace {

const WallTime kNow = WallTime(std::chrono::seconds(1'800'000'000));

CertificateRequest server_request() {
  return {.identity = {"c1", "fileserver", "fs1"},
          .dns_names = {"localhost", "fs1.example.org"},
          .addresses = {"127.0.0.1", "::1"}};
}

struct Cell {
  CertificateAndKey authority = create_authority("test", kNow).value();
  CertificateAndKey server = issue_certificate(authority, server_request(), kNow).value();

  [[nodiscard]] Status verify(VerifyOptions options) const {
    if (options.now == WallTime{})
      options.now = kNow;
    return verify_certificate(server.certificate, authority.certificate, options);
  }
};

// The failure's sentence, or "ok".
std::string sentence(const Status& status) {
  return status ? "ok" : status.error().message;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("an authority says what it is and lives ten years") {
  const Cell cell;
  const auto info = cell.authority.certificate.inspect();
  REQUIRE_OK(info);
  CHECK(info->is_authority);
  CHECK(info->subject == "Troth cell test");
  CHECK(info->issuer == "Troth cell test");
  CHECK(info->not_after == kNow + kAuthorityValidity);
  CHECK(info->not_before == kNow - kClockAllowance);
  CHECK_FALSE(info->identity.has_value());
}

TEST_CASE("a server's certificate names its host, role, name and cell") {
  const Cell cell;
  const auto info = cell.server.certificate.inspect();
  REQUIRE_OK(info);
  CHECK_FALSE(info->is_authority);
  CHECK(info->subject == "fileserver fs1");
  CHECK(info->issuer == "Troth cell test");
  CHECK(info->dns_names == server_request().dns_names);
  CHECK(info->addresses == server_request().addresses);
  REQUIRE(info->identity.has_value());
  CHECK(*info->identity == server_request().identity);
  CHECK(days_left(info->not_after, kNow) == 30);
  CHECK(info->serial.size() == 32);
}

TEST_CASE("a good certificate verifies by any of its names") {
  const Cell cell;
  CHECK_OK(cell.verify({}));
  for (const char* host :
       {"localhost", "LOCALHOST", "fs1.example.org", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1"}) {
    CHECK_OK(cell.verify({.reached_at = host}));
  }
  CHECK_OK(cell.verify({.cell_id = "c1", .role = "fileserver"}));
}

TEST_CASE("a refused certificate says why") {
  const Cell cell;
  const auto ended = cell.verify({.now = kNow + 30 * 24h + 1s});
  CHECK_FAILS(ended, ErrorCode::Expired);
  CHECK(contains(sentence(ended), "expired on 2027-02-14 08:00:00 UTC"));
  const auto early = cell.verify({.now = kNow - 11min});
  CHECK_FAILS(early, ErrorCode::Expired);
  CHECK(contains(sentence(early), "valid only from"));

  const auto name = cell.verify({.reached_at = "fs2.example.org"});
  CHECK_FAILS(name, ErrorCode::PermissionDenied);
  CHECK(contains(sentence(name), "127.0.0.1, ::1, not for 'fs2.example.org'"));
  CHECK_FAILS(cell.verify({.reached_at = "127.0.0.2"}), ErrorCode::PermissionDenied);
  // The subject is for people: it is no name to be reached at.
  CHECK_FAILS(cell.verify({.reached_at = "fileserver fs1"}), ErrorCode::PermissionDenied);
  CHECK_FAILS(cell.verify({.cell_id = "c2"}), ErrorCode::PermissionDenied);
  CHECK_FAILS(cell.verify({.role = "kdc"}), ErrorCode::PermissionDenied);
}

TEST_CASE("a foreign certificate is refused, also under an authority of the same name") {
  const Cell cell;
  const CertificateAndKey twin = create_authority("test", kNow).value();
  const auto foreign = issue_certificate(twin, server_request(), kNow).value();
  const auto status =
      verify_certificate(foreign.certificate, cell.authority.certificate, {.now = kNow});
  CHECK_FAILS(status, ErrorCode::Unauthenticated);
  CHECK(contains(sentence(status), "not signed by this cell's authority"));
  // A certificate does not vouch for itself, nor a server for another.
  CHECK_FAILS(verify_certificate(twin.certificate, cell.authority.certificate, {.now = kNow}),
              ErrorCode::Unauthenticated);
  const auto nested = issue_certificate(cell.server, server_request(), kNow).value();
  CHECK_FAILS(verify_certificate(nested.certificate, cell.authority.certificate, {.now = kNow}),
              ErrorCode::Unauthenticated);
  CHECK_FAILS(verify_certificate(nested.certificate, cell.server.certificate, {.now = kNow}),
              ErrorCode::Unauthenticated);
}

TEST_CASE("a certificate never outlives its authority, and an ended authority signs nothing") {
  const auto authority = create_authority("short", kNow, 24h * 7).value();
  const auto server = issue_certificate(authority, server_request(), kNow).value();
  CHECK(server.certificate.inspect().value().not_after == kNow + 24h * 7);
  CHECK_FAILS(issue_certificate(authority, server_request(), kNow + 24h * 8), ErrorCode::Expired);
}

TEST_CASE("bad requests are refused") {
  const Cell cell;
  const auto refused = [&](auto change) {
    CertificateRequest request = server_request();
    change(request);
    const auto made = issue_certificate(cell.authority, request, kNow);
    return !made && (made.error().code == ErrorCode::InvalidArgument ||
                     made.error().code == ErrorCode::TooLarge);
  };
  CHECK(refused([](auto& r) { r.addresses = {"127.0.0.256"}; }));
  CHECK(refused([](auto& r) { r.addresses = {""}; }));
  CHECK(refused([](auto& r) { r.dns_names = {"a,IP:10.0.0.1"}; }));
  CHECK(refused([](auto& r) { r.dns_names = {std::string("a\0b", 3)}; }));
  CHECK(refused([](auto& r) { r.dns_names = {"*.example.org"}; }));
  CHECK(refused([](auto& r) { r.dns_names = {""}; }));
  CHECK(refused([](auto& r) { r.dns_names.assign(40, "a"); }));
  CHECK(refused([](auto& r) { r.identity.name = "a/b"; }));
  CHECK(refused([](auto& r) { r.identity.cell_id = ""; }));
  CHECK(refused([](auto& r) { r.identity.role = std::string(65, 'a'); }));
  CHECK(refused([](auto& r) { r.validity = 0s; }));
  CHECK(refused([](auto& r) { r.validity = 24h * 400; }));
}

TEST_CASE("a renewed certificate is the same but later") {
  const Cell cell;
  const auto request = request_like(cell.server.certificate);
  REQUIRE_OK(request);
  CHECK(request->validity == kDefaultValidity);
  const auto later = issue_certificate(cell.authority, *request, cell.server.key, kNow + 24h * 20);
  REQUIRE_OK(later);
  const auto info = later->inspect().value();
  CHECK(info.not_after == kNow + 24h * 50);
  CHECK(info.dns_names == server_request().dns_names);
  CHECK(*info.identity == server_request().identity);
  CHECK(later->belongs_to(cell.server.key));
  CHECK(info.serial != cell.server.certificate.inspect().value().serial);
  CHECK_FAILS(request_like(cell.authority.certificate), ErrorCode::InvalidArgument);
}

TEST_CASE("keys and certificates survive their PEM form") {
  const Cell cell;
  const auto pem = cell.server.certificate.to_pem();
  REQUIRE_OK(pem);
  const auto read = Certificate::from_pem(*pem);
  REQUIRE_OK(read);
  CHECK(read->inspect().value().fingerprint ==
        cell.server.certificate.inspect().value().fingerprint);
  const auto key_pem = cell.server.key.to_pem();
  REQUIRE_OK(key_pem);
  CHECK(contains(std::string(as_text(key_pem->bytes())), "-----BEGIN PRIVATE KEY-----"));
  const auto key = PrivateKey::from_pem(*key_pem);
  REQUIRE_OK(key);
  CHECK(read->belongs_to(*key));
  CHECK_FALSE(cell.authority.certificate.belongs_to(*key));
}

TEST_CASE("damaged or surplus PEM text is refused") {
  const Cell cell;
  const std::string pem = cell.server.certificate.to_pem().value();
  CHECK_FAILS(Certificate::from_pem(""), ErrorCode::Corrupt);
  CHECK_FAILS(Certificate::from_pem("-----BEGIN CERTIFICATE-----\n"), ErrorCode::Corrupt);
  CHECK_FAILS(Certificate::from_pem(pem.substr(0, pem.size() / 2)), ErrorCode::Corrupt);
  CHECK_FAILS(Certificate::from_pem(pem + pem), ErrorCode::Corrupt);
  CHECK_FAILS(Certificate::from_pem(std::string(100'000, 'x')), ErrorCode::TooLarge);
  CHECK_OK(Certificate::from_pem(pem + "\n \n"));
  CHECK_FAILS(PrivateKey::from_pem(Secret::copy_of(as_bytes(pem))), ErrorCode::Corrupt);
  CHECK_FAILS(PrivateKey::from_pem(Secret()), ErrorCode::Corrupt);
}

TEST_CASE("identities have one spelling") {
  const auto good = identity_from_uri("troth://c-1/kdc/kdc.1_a");
  REQUIRE_OK(good);
  CHECK(*good == CertificateIdentity{"c-1", "kdc", "kdc.1_a"});
  CHECK(to_uri(*good).value() == "troth://c-1/kdc/kdc.1_a");
  for (const char* bad : {"", "troth://", "troth://a/b", "troth://a/b/", "troth:///b/c",
                          "troth://a//c", "troth://a/b/c/d", "http://a/b/c", "troth://a/b/c d",
                          "troth://a/b/\xC3\xA9", "TROTH://a/b/c"}) {
    CHECK_FAILS(identity_from_uri(bad), ErrorCode::Corrupt);
  }
}

TEST_CASE("days left are rounded down") {
  CHECK(days_left(kNow + 24h, kNow) == 1);
  CHECK(days_left(kNow + 24h - 1s, kNow) == 0);
  CHECK(days_left(kNow - 1s, kNow) == -1);
}
