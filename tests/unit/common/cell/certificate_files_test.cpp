#include "common/cell/certificate_files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/cell/init.hpp"
#include "common/failpoint/failpoint.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::cell;
using namespace std::chrono_literals;
using test_support::TempDir;

namespace {

const WallTime kRenewal = WallTime(std::chrono::seconds(1'800'000'000));

// A cell on disk.
struct Fixture {
  TempDir dir;
  std::string root = (dir / "cell").string();
  std::string certificate = root + "/kdc/server.crt";
  std::string key = root + "/kdc/server.key";

  Fixture() { REQUIRE_OK(init_cell(root, {}, kRenewal)); }
  [[nodiscard]] crypto::CertificateAndKey authority() const { return read_authority(root).value(); }
  [[nodiscard]] crypto::CertificateInfo info() const {
    return read_certificate(certificate).value().inspect().value();
  }
};

std::string sentence(const auto& result) {
  return result ? "ok" : result.error().message;
}

}  // namespace

TEST_CASE("renewing moves the end and keeps names and key") {
  const Fixture cell;
  const auto before = cell.info();
  const std::string key_before = test_support::read_file(cell.key).value();
  REQUIRE_OK(renew_files(cell.authority(), cell.certificate, RenewKey::Keep, kRenewal + 24h * 25));
  const auto after = cell.info();
  CHECK(after.not_after == before.not_after + 24h * 25);
  CHECK(after.addresses == before.addresses);
  CHECK(*after.identity == *before.identity);
  CHECK(test_support::read_file(cell.key).value() == key_before);
  CHECK(read_certificate(cell.certificate).value().belongs_to(read_key(cell.key).value()));
}

TEST_CASE("renewing can replace the key, also of an expired certificate or a lost key") {
  const Fixture cell;
  const std::string key_before = test_support::read_file(cell.key).value();
  std::filesystem::remove(cell.key);
  CHECK_FAILS(renew_files(cell.authority(), cell.certificate, RenewKey::Keep, kRenewal),
              ErrorCode::NotFound);
  REQUIRE_OK(
      renew_files(cell.authority(), cell.certificate, RenewKey::Replace, kRenewal + 24h * 99));
  CHECK(test_support::read_file(cell.key).value() != key_before);
  CHECK(read_certificate(cell.certificate).value().belongs_to(read_key(cell.key).value()));
  struct stat info {};
  REQUIRE(::stat(cell.key.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
}

TEST_CASE("what is renewed stays its owner's and readable by whom it was") {
  if (::geteuid() != 0)
    SKIP_TEST("only root can give files away");
  const Fixture cell;
  constexpr uid_t kServer = 4711;
  for (const std::string& path : {cell.certificate, cell.key})
    REQUIRE(::chown(path.c_str(), kServer, kServer) == 0);
  REQUIRE_OK(renew_files(cell.authority(), cell.certificate, RenewKey::Replace, kRenewal));
  for (const std::string& path : {cell.certificate, cell.key}) {
    CAPTURE(path);
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK(info.st_uid == kServer);
    CHECK(info.st_gid == kServer);
    CHECK((info.st_mode & 07777) == (path == cell.key ? 0600 : 0644));
  }
}

TEST_CASE("at every moment of a renewal one of two keys belongs to the certificate") {
  if (!failpoint::kCompiledIn)
    SKIP_TEST("built without failpoints");
  const Fixture cell;
  const auto belongs_to = [&](const std::string& key) {
    const auto read = read_key(key);
    return read && read_certificate(cell.certificate).value().belongs_to(*read);
  };
  const std::string waiting = waiting_key_path(cell.key);
  int seen = 0;
  failpoint::arm_call("cell.renew.key_waits", [&]() -> Status {
    ++seen;
    CHECK(belongs_to(cell.key));
    CHECK_FALSE(belongs_to(waiting));
    CHECK_FAILS(renew_files(cell.authority(), cell.certificate, RenewKey::Keep, kRenewal),
                ErrorCode::Busy);
    return {};
  });
  failpoint::arm_call("cell.renew.certificate_changed", [&]() -> Status {
    ++seen;
    CHECK_FALSE(belongs_to(cell.key));
    CHECK(belongs_to(waiting));
    return {};
  });
  const auto renewed = renew_files(cell.authority(), cell.certificate, RenewKey::Replace, kRenewal);
  failpoint::disarm_all();
  REQUIRE_OK(renewed);
  CHECK(seen == 2);
  CHECK(belongs_to(cell.key));
  CHECK_FALSE(std::filesystem::exists(waiting));
}

TEST_CASE("the next renewal finishes, or undoes, what a killed one left") {
  const Fixture cell;
  const std::string waiting = waiting_key_path(cell.key);
  const auto copy = [](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  };
  const std::string old_key = (cell.dir / "old.key").string();
  copy(cell.key, old_key);
  SUBCASE("killed before the certificate changed") {
    const std::string key = test_support::read_file(cell.key).value();
    REQUIRE_OK(write_key(waiting, crypto::PrivateKey::generate().value()));
    REQUIRE_OK(renew_files(cell.authority(), cell.certificate, RenewKey::Keep, kRenewal));
    CHECK(test_support::read_file(cell.key).value() == key);
  }
  SUBCASE("killed after it: the waiting key is the one that is kept") {
    REQUIRE_OK(renew_files(cell.authority(), cell.certificate, RenewKey::Replace, kRenewal));
    const std::string key = test_support::read_file(cell.key).value();
    std::filesystem::rename(cell.key, waiting);
    copy(old_key, cell.key);
    REQUIRE_OK(renew_files(cell.authority(), cell.certificate, RenewKey::Keep, kRenewal));
    CHECK(test_support::read_file(cell.key).value() == key);
  }
  CHECK_FALSE(std::filesystem::exists(waiting));
  CHECK(read_certificate(cell.certificate).value().belongs_to(read_key(cell.key).value()));
}

TEST_CASE("a foreign certificate is not renewed") {
  const Fixture cell;
  const Fixture other;
  const auto status = renew_files(other.authority(), cell.certificate, RenewKey::Keep, kRenewal);
  CHECK_FAILS(status, ErrorCode::Unauthenticated);
  CHECK(sentence(status).find("not signed by this cell's authority") != std::string::npos);
}

TEST_CASE("a key that others can read is refused, with the command that mends it") {
  const Fixture cell;
  REQUIRE(::chmod((cell.root + "/ca/ca.key").c_str(), 0640) == 0);
  const auto authority = read_authority(cell.root);
  CHECK_FAILS(authority, ErrorCode::PermissionDenied);
  CHECK(sentence(authority).find("run: chmod 600 ") != std::string::npos);
}

TEST_CASE("a missing or wrong authority key is named") {
  const Fixture cell;
  const Fixture other;
  const std::string path = cell.root + "/ca/ca.key";
  std::filesystem::copy_file(other.root + "/ca/ca.key", path,
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_FAILS(read_authority(cell.root), ErrorCode::InvalidArgument);
  std::filesystem::remove(path);
  const auto missing = read_authority(cell.root);
  CHECK_FAILS(missing, ErrorCode::NotFound);
  CHECK(sentence(missing).find("run this where the cell's key is kept") != std::string::npos);
}

TEST_CASE("issued files are new, private and whole") {
  const Fixture cell;
  const crypto::CertificateRequest request{.identity = {"c", "mount", "laptop"},
                                           .dns_names = {"laptop"},
                                           .addresses = {},
                                           .validity = 24h};
  const std::string stem = (cell.dir / "laptop").string();
  const auto files = issue_files(cell.authority(), request, stem, kRenewal);
  REQUIRE_OK(files);
  CHECK(read_certificate(files->certificate).value().belongs_to(read_key(files->key).value()));
  CHECK_FAILS(issue_files(cell.authority(), request, stem, kRenewal), ErrorCode::AlreadyExists);
  std::filesystem::remove(files->certificate);
  CHECK_FAILS(issue_files(cell.authority(), request, stem, kRenewal), ErrorCode::AlreadyExists);
  CHECK_FAILS(issue_files(cell.authority(), request, (cell.dir / "no/x").string(), kRenewal),
              ErrorCode::NotFound);
}

TEST_CASE("an examination tells a good, an expired and a foreign certificate apart") {
  const Fixture cell;
  const Fixture other;
  const auto authority = cell.authority();
  const auto good = examine(cell.certificate, authority.certificate, kRenewal);
  REQUIRE_OK(good);
  CHECK_OK(good->verdict);
  CHECK(good->days_left == 30);
  const auto verdict = [&](const std::string& path, WallTime now) {
    return examine(path, authority.certificate, now).value().verdict;
  };
  CHECK_FAILS(verdict(cell.certificate, kRenewal + 24h * 31), ErrorCode::Expired);
  CHECK_FAILS(verdict(other.certificate, kRenewal), ErrorCode::Unauthenticated);
  CHECK_FAILS(examine(cell.key, authority.certificate, kRenewal), ErrorCode::Corrupt);
  CHECK_OK(verdict(cell.root + "/ca/ca.crt", kRenewal));
}

TEST_CASE("the certificates of a cell are the authority's and those of servers that are here") {
  const Fixture cell;
  std::filesystem::remove_all(cell.root + "/lockserver");
  const auto paths = certificate_paths(cell.root, load_description(cell.root).value());
  CHECK(paths == std::vector<std::string>{cell.root + "/ca/ca.crt", cell.certificate,
                                          cell.root + "/fileserver/server.crt"});
}

TEST_CASE("what is no PEM file is refused without waiting") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK_FAILS(read_certificate((dir / "fifo").string()), ErrorCode::InvalidArgument);
  CHECK_FAILS(read_certificate(dir.path().string()), ErrorCode::InvalidArgument);
  CHECK_FAILS(read_certificate((dir / "none").string()), ErrorCode::NotFound);
}
