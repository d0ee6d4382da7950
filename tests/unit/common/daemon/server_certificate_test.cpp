#include "common/daemon/server_certificate.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/cell/certificate_files.hpp"
#include "common/crypto/certificates.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace crypto = common::crypto;
using common::ErrorCode;
using common::daemon::check_server_certificate;

namespace {

// A cell on disk: an authority, and a kdc's certificate and key.
struct Cell {
  test_support::TempDir dir;
  common::SystemClock clock;
  crypto::CertificateAndKey authority = *crypto::create_authority("test", clock.wall_now());
  crypto::CertificateAndKey kdc = issue("kdc", authority);
  common::daemon::CertificateFiles files{(dir / "server.crt").string(),
                                         (dir / "server.key").string(), (dir / "ca.crt").string()};

  Cell() {
    write(files.ca, *authority.certificate.to_pem());
    write(files.certificate, *kdc.certificate.to_pem());
    write_key(kdc.key);
  }

  static void write(const std::string& path, std::string_view text) {
    REQUIRE_OK(test_support::write_file(path, text));
  }
  void write_key(const crypto::PrivateKey& key) const {
    const auto pem = key.to_pem();
    const auto bytes = pem->bytes();
    write(files.key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    REQUIRE(::chmod(files.key.c_str(), 0600) == 0);
  }
  crypto::CertificateAndKey issue(const char* role, const crypto::CertificateAndKey& by) const {
    crypto::CertificateRequest request;
    request.identity = {"cell-1", role, "one"};
    request.addresses = {"127.0.0.1"};
    return *crypto::issue_certificate(by, request, clock.wall_now());
  }
  auto check(common::Duration later = {}) const {
    return check_server_certificate(files, "kdc", clock.wall_now() + later);
  }
  // The failure names this file and, in one line, what to do.
  void refuses(ErrorCode code, const std::string& file, const std::string& words,
               common::Duration later = {}) const {
    const auto result = check(later);
    CHECK_FAILS(result, code);
    if (result)
      return;
    CAPTURE(result.error().message);
    CHECK(result.error().message.find(file) != std::string::npos);
    CHECK(result.error().message.find(words) != std::string::npos);
    CHECK(result.error().message.find('\n') == std::string::npos);
  }
};

}  // namespace

TEST_CASE("a server's own certificate is accepted, and says how long it lasts") {
  const Cell cell;
  const auto checked = cell.check();
  REQUIRE_OK(checked);
  CHECK(checked->key == cell.files.key);
  CHECK(checked->validity.not_after > cell.clock.wall_now());
}

TEST_CASE("F76: an expired certificate is refused") {
  const Cell cell;
  cell.refuses(ErrorCode::Expired, cell.files.certificate, "troth cell cert",
               std::chrono::days{31});
}

TEST_CASE("F76: a certificate that is not valid yet is refused, pointing at the clock") {
  const Cell cell;
  cell.refuses(ErrorCode::Expired, cell.files.certificate, "clock", -std::chrono::days{2});
}

TEST_CASE("F76: a certificate of another authority is refused") {
  const Cell cell;
  const auto other = *crypto::create_authority("other", cell.clock.wall_now());
  Cell::write(cell.files.ca, *other.certificate.to_pem());
  cell.refuses(ErrorCode::Unauthenticated, cell.files.certificate, "not signed by");
}

TEST_CASE("F76: a certificate for another role is refused") {
  Cell cell;
  const auto lockserver = cell.issue("lockserver", cell.authority);
  Cell::write(cell.files.certificate, *lockserver.certificate.to_pem());
  cell.write_key(lockserver.key);
  cell.refuses(ErrorCode::PermissionDenied, cell.files.certificate, "lockserver");
}

TEST_CASE("F76: a key of another certificate is refused") {
  const Cell cell;
  cell.write_key(*crypto::PrivateKey::generate());
  cell.refuses(ErrorCode::InvalidArgument, cell.files.key, "does not belong to");
}

TEST_CASE("a certificate whose new key still waits is accepted with that key") {
  const Cell cell;
  const std::string waiting = common::cell::waiting_key_path(cell.files.key);
  const auto next = cell.issue("kdc", cell.authority);
  REQUIRE_OK(common::cell::write_key(waiting, next.key));
  const auto before = cell.check();  // the certificate has not come yet
  REQUIRE_OK(before);
  CHECK(before->key == cell.files.key);
  REQUIRE_OK(common::cell::write_certificate(cell.files.certificate, next.certificate));
  const auto after = cell.check();
  REQUIRE_OK(after);
  CHECK(after->key == waiting);
  REQUIRE(::chmod(waiting.c_str(), 0644) == 0);
  cell.refuses(ErrorCode::InvalidArgument, cell.files.key, "does not belong to");
}

TEST_CASE("a pair that is renewed while it is read is never refused") {
  const Cell cell;
  constexpr int kRenewals = 40;
  std::atomic<bool> ended{false};
  std::thread renewals([&] {
    for (int i = 0; i < kRenewals; ++i) {
      static_cast<void>(common::cell::renew_files(cell.authority, cell.files.certificate,
                                                  common::cell::RenewKey::Replace,
                                                  cell.clock.wall_now()));
    }
    ended = true;
  });
  while (!ended) {
    const auto read_again = [](const common::daemon::CertificateFiles& files) -> common::Status {
      TROTH_TRY(const auto certificate, common::cell::read_certificate(files.certificate));
      TROTH_TRY(const auto key, common::cell::read_key(files.key));
      if (!certificate.belongs_to(key))
        return common::fail(ErrorCode::InvalidArgument, "no pair");
      return {};
    };
    CHECK_OK(check_server_certificate(cell.files, "kdc", cell.clock.wall_now(), read_again));
  }
  renewals.join();
  CHECK_OK(cell.check());
}

TEST_CASE("a pair is read again for as long as it is renewed meanwhile, and no longer") {
  const Cell cell;
  int uses = 0;
  int renewals = 20;
  const auto comes_late = [&](const common::daemon::CertificateFiles&) -> common::Status {
    ++uses;
    if (renewals-- <= 0)
      return renewals < -1 ? common::fail(ErrorCode::InvalidArgument, "never") : common::Status();
    REQUIRE_OK(common::cell::renew_files(cell.authority, cell.files.certificate,
                                         common::cell::RenewKey::Replace, cell.clock.wall_now()));
    return common::fail(ErrorCode::InvalidArgument, "no pair");
  };
  CHECK_OK(check_server_certificate(cell.files, "kdc", cell.clock.wall_now(), comes_late));
  CHECK(uses == 21);
  CHECK_FAILS(check_server_certificate(cell.files, "kdc", cell.clock.wall_now(), comes_late),
              ErrorCode::InvalidArgument);
  CHECK(uses == 22);
}

TEST_CASE("a key that others may use is refused, with the command that closes it") {
  const Cell cell;
  for (const mode_t mode : {0644U, 0604U, 0606U, 0660U, 0620U}) {
    REQUIRE(::chmod(cell.files.key.c_str(), mode) == 0);
    cell.refuses(ErrorCode::PermissionDenied, cell.files.key, "chmod 600");
  }
  REQUIRE(::chmod(cell.files.key.c_str(), 0400) == 0);
  CHECK_OK(cell.check());
}

TEST_CASE("a group may read a key that root owns, as packages install them") {
  if (::geteuid() != 0)
    SKIP_TEST("needs a file that root owns");
  const Cell cell;
  REQUIRE(::chmod(cell.files.key.c_str(), 0640) == 0);
  CHECK_OK(cell.check());
  REQUIRE(::chown(cell.files.key.c_str(), 12345, 12345) == 0);
  cell.refuses(ErrorCode::PermissionDenied, cell.files.key, "chmod 600");
}

TEST_CASE("missing, empty, wrong and oversized files are refused by name") {
  const Cell cell;
  SUBCASE("no authority") {
    ::unlink(cell.files.ca.c_str());
    cell.refuses(ErrorCode::NotFound, cell.files.ca, "[tls] ca");
  }
  SUBCASE("no certificate") {
    ::unlink(cell.files.certificate.c_str());
    cell.refuses(ErrorCode::NotFound, cell.files.certificate, "[tls] certificate");
  }
  SUBCASE("no key") {
    ::unlink(cell.files.key.c_str());
    cell.refuses(ErrorCode::NotFound, cell.files.key, "cannot read");
  }
  SUBCASE("an empty certificate") {
    Cell::write(cell.files.certificate, "");
    CHECK_FALSE(cell.check());
  }
  SUBCASE("the key in the certificate's place") {
    const auto pem = cell.kdc.key.to_pem();
    Cell::write(cell.files.certificate,
                {reinterpret_cast<const char*>(pem->bytes().data()), pem->size()});
    CHECK_FALSE(cell.check());
  }
  SUBCASE("a flood") {
    Cell::write(cell.files.certificate, std::string(1 << 20, 'x'));
    cell.refuses(ErrorCode::TooLarge, cell.files.certificate, "too large");
  }
}
