#include "tests/scenario/cell_certificates.hpp"

#include <filesystem>

#include "common/bytes.hpp"
#include "tests/support/test.hpp"

namespace fs = std::filesystem;
namespace crypto = common::crypto;
using namespace test_support;

namespace scenario {
namespace {

crypto::CertificateAndKey authority_of(const LiveCell& cell) {
  const auto certificate =
      crypto::Certificate::from_pem(*read_file(cell.directory() / "ca/ca.crt"));
  const auto key_text = *read_file(cell.directory() / "ca/ca.key");
  const auto key =
      crypto::PrivateKey::from_pem(crypto::Secret::copy_of(common::as_bytes(key_text)));
  REQUIRE_OK(certificate);
  REQUIRE_OK(key);
  return {*certificate, *key};
}

}  // namespace

void replace_certificate(const LiveCell& cell, std::string_view role, common::WallTime made,
                         const std::function<void(crypto::CertificateRequest&)>& change) {
  const fs::path directory = cell.role_directory(role);
  const auto old = crypto::Certificate::from_pem(*read_file(directory / "server.crt"));
  REQUIRE_OK(old);
  auto request = crypto::request_like(*old);
  REQUIRE_OK(request);
  change(*request);
  const auto issued = crypto::issue_certificate(authority_of(cell), *request, made);
  REQUIRE_OK(issued);
  REQUIRE_OK(write_file(directory / "server.crt", *issued->certificate.to_pem()));
  const auto key = issued->key.to_pem();
  REQUIRE_OK(key);
  REQUIRE_OK(write_file(directory / "server.key", common::as_text(key->bytes())));
}

}  // namespace scenario
