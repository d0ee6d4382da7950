#include "common/tls/connection.hpp"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/tls/openssl_error.hpp"
#include "common/tls/socket_bio.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"
#include "tests/unit/common/tls/tls_pair.hpp"

using common::ErrorCode;
using common::tls::ClientCertificates;
using common::tls::ContextPtr;
using test_support::CertificateFiles;
using test_support::TestCell;
using test_support::TlsPair;

namespace {

ContextPtr server_context(const TestCell& cell, const CertificateFiles& files,
                          ClientCertificates clients = ClientCertificates::None) {
  auto made = common::tls::make_server({files.certificate, files.key, cell.ca(), clients});
  REQUIRE_OK(made);
  return *made;
}

ContextPtr client_context(const TestCell& cell, const CertificateFiles& files = {}) {
  auto made = common::tls::make_client({cell.ca(), files.certificate, files.key});
  REQUIRE_OK(made);
  return *made;
}

bool says(const common::Result<common::tls::Progress>& result, std::string_view text) {
  return !result && result.error().message.find(text) != std::string::npos;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

TEST_CASE("two ends of one cell agree on TLS 1.3 and on an exported key") {
  TestCell cell;
  TlsPair pair(client_context(cell), server_context(cell, cell.issue("server")));
  REQUIRE(pair.handshake());
  auto client_key = pair.client->export_key("EXPORTER-troth-test");
  auto server_key = pair.server->export_key("EXPORTER-troth-test");
  auto other_label = pair.server->export_key("EXPORTER-troth-other");
  REQUIRE_OK(client_key);
  REQUIRE_OK(server_key);
  REQUIRE_OK(other_label);
  CHECK(*client_key == *server_key);
  CHECK(*client_key != *other_label);
  CHECK_FALSE(pair.server->peer_certificate().has_value());
}

TEST_CASE("the server's name is checked, DNS names and addresses alike") {
  TestCell cell;
  auto files = cell.issue("server", {.names = {"DNS:files.cell", "IP:127.0.0.1", "IP:::1"}});
  auto server = server_context(cell, files);
  auto client = client_context(cell);
  for (const char* name : {"files.cell", "127.0.0.1", "::1"}) {
    CAPTURE(name);
    TlsPair pair(client, server, name);
    CHECK(pair.handshake());
  }
  // The common name "test" is no name; a longer and a shorter one are others.
  for (const char* name : {"test", "x.files.cell", "cell", "127.0.0.2", "::2"}) {
    CAPTURE(name);
    TlsPair pair(client, server, name);
    CHECK_FALSE(pair.handshake());
    CHECK_FAILS(pair.client_result, ErrorCode::Unauthenticated);
    CHECK(says(pair.client_result, "has a certificate for another name"));
  }
}

TEST_CASE("a foreign server is refused by the client, in one sentence") {
  TestCell cell;
  TestCell other;
  TlsPair pair(client_context(cell), server_context(other, other.issue("server")));
  CHECK_FALSE(pair.handshake());
  CHECK_FAILS(pair.client_result, ErrorCode::Unauthenticated);
  CHECK(says(pair.client_result, "localhost was not issued by this cell's authority"));
  CHECK(says(pair.server_result, "does not accept our certificate"));
}

TEST_CASE("a peer's certificate out of its days is told with the clock that says so") {
  const auto today = [] { return common::tls::date_text(common::SystemClock().wall_now()); };
  for (const long verdict : {X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID}) {
    CAPTURE(verdict);
    const std::string before = today();
    // As after a refused handshake, which leaves no certificate of the peer's.
    const auto error = common::tls::certificate_error(verdict, "fs1", nullptr);
    CHECK(error.code == ErrorCode::Expired);
    const std::string shows = "set this machine's clock right: it shows ";
    CHECK((error.message.ends_with(shows + before) || error.message.ends_with(shows + today())));
    CHECK(error.message.find("unknown") == std::string::npos);
  }
}

TEST_CASE("a node's certificate is proved and its role is known") {
  TestCell cell;
  auto node = cell.issue("node", {.common_name = "fs1", .role = "fileserver"});
  TlsPair pair(client_context(cell, node),
               server_context(cell, cell.issue("server"), ClientCertificates::Optional));
  REQUIRE(pair.handshake());
  auto certificate = pair.server->peer_certificate();
  REQUIRE(certificate.has_value());
  CHECK(certificate->name == "fs1");
  CHECK(certificate->role == "fileserver");
  CHECK(certificate->dns_names == std::vector<std::string>{"localhost"});
  CHECK(std::any_of(certificate->fingerprint.begin(), certificate->fingerprint.end(),
                    [](std::byte b) { return b != std::byte{0}; }));
}

TEST_CASE("a role comes from an identity of the cell's own form, and from nothing like it") {
  const auto role_of = [](const std::string& uri) {
    TestCell cell;
    const auto node = cell.issue("node", {.names = {"DNS:localhost", "URI:" + uri}});
    TlsPair pair(client_context(cell, node),
                 server_context(cell, cell.issue("server"), ClientCertificates::Optional));
    REQUIRE(pair.handshake());
    return pair.server->peer_certificate().value().role;
  };
  CHECK(role_of("troth://0123456789abcdef/kdc/kdc1") == "kdc");
  CHECK(role_of("troth://0123456789abcdef/kdc").empty());
  CHECK(role_of("troth:///kdc/kdc1").empty());
  CHECK(role_of("https://example.org/kdc/kdc1").empty());
}

TEST_CASE("client certificates: missing is fine when optional, foreign never is") {
  TestCell cell;
  TestCell other;
  auto server_files = cell.issue("server");
  SUBCASE("optional and missing") {
    TlsPair pair(client_context(cell),
                 server_context(cell, server_files, ClientCertificates::Optional));
    CHECK(pair.handshake());
    CHECK_FALSE(pair.server->peer_certificate().has_value());
  }
  SUBCASE("required and missing: the client learns it with its first read") {
    TlsPair pair(client_context(cell),
                 server_context(cell, server_files, ClientCertificates::Required));
    CHECK_FALSE(pair.handshake());
    CHECK_FAILS(pair.server_result, ErrorCode::Protocol);
    std::byte buffer[16];
    auto read = pair.client->read(buffer);
    CHECK_FAILS(read, ErrorCode::Unauthenticated);
    CHECK(says(read, "wants a client certificate"));
  }
  SUBCASE("foreign") {
    // A client context insists on its own authority, so this one believes the other cell's.
    auto foreign = other.issue("node");
    auto context = common::tls::make_client({other.ca(), foreign.certificate, foreign.key});
    REQUIRE_OK(context);
    SSL_CTX_set_verify((*context)->native(), SSL_VERIFY_NONE, nullptr);
    TlsPair pair(*context, server_context(cell, server_files, ClientCertificates::Optional));
    CHECK_FALSE(pair.handshake());
    CHECK(says(pair.server_result, "was not issued by this cell's authority"));
    std::byte buffer[16];
    CHECK(says(pair.client->read(buffer), "does not accept our certificate"));
  }
}

TEST_CASE("TLS 1.2 is not spoken") {
  TestCell cell;
  auto client = client_context(cell);
  SSL_CTX_set_min_proto_version(client->native(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(client->native(), TLS1_2_VERSION);
  TlsPair pair(client, server_context(cell, cell.issue("server")));
  CHECK_FALSE(pair.handshake());
  CHECK_FAILS(pair.client_result, ErrorCode::Unsupported);
}

TEST_CASE("bytes pass both ways without blocking, and the end is seen once") {
  TestCell cell;
  TlsPair pair(client_context(cell), server_context(cell, cell.issue("server")));
  REQUIRE(pair.handshake());

  std::byte buffer[64];
  auto nothing = pair.server->read(buffer);
  REQUIRE_OK(nothing);
  CHECK(nothing->want_read);

  auto wrote = pair.client->write(bytes_of("hello"));
  REQUIRE_OK(wrote);
  CHECK(wrote->done == 5);
  auto read = pair.server->read(std::span(buffer).first(2));
  REQUIRE_OK(read);
  CHECK(read->done == 2);
  CHECK(pair.server->has_pending());
  read = pair.server->read(buffer);
  REQUIRE_OK(read);
  CHECK(read->done == 3);
  CHECK_FALSE(pair.server->has_pending());

  pair.server->release_buffers();
  pair.client->close_notify();
  pair.client->close_notify();
  read = pair.server->read(buffer);
  REQUIRE_OK(read);
  CHECK(read->closed);
}

TEST_CASE("a writer that nobody reads is told to wait, and everything arrives in the end") {
  TestCell cell;
  TlsPair pair(client_context(cell), server_context(cell, cell.issue("server")));
  REQUIRE(pair.handshake());
  std::vector<std::byte> sent(8 * 1024 * 1024);
  for (std::size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<std::byte>(i * 31 >> 3);
  std::vector<std::byte> got;
  std::vector<std::byte> buffer(64 * 1024);
  std::size_t written = 0;
  bool waited = false;
  while (got.size() < sent.size()) {
    while (written < sent.size()) {
      auto step = pair.client->write(std::span(sent).subspan(written));
      REQUIRE_OK(step);
      if (step->want_write) {
        waited = true;
        break;
      }
      written += step->done;
    }
    auto step = pair.server->read(buffer);
    REQUIRE_OK(step);
    got.insert(got.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(step->done));
  }
  CHECK(waited);
  CHECK(got == sent);
}

TEST_CASE(
    "a peer that vanishes without a word is seen as closed, and writing to it does not kill") {
  TestCell cell;
  TlsPair pair(client_context(cell), server_context(cell, cell.issue("server")));
  REQUIRE(pair.handshake());
  pair.client.reset();
  pair.client_socket.reset();
  std::byte buffer[16];
  auto read = pair.server->read(buffer);
  REQUIRE_OK(read);
  CHECK(read->closed);
  auto write = pair.server->write(bytes_of("late"));
  CHECK((!write || write->closed));
}

// OpenSSL 3.0 forgives a 0 here; from 3.2 on it believes that the record has left.
TEST_CASE("a socket that takes nothing more fails its BIO, and one that is full asks to wait") {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const common::UniqueFd socket(fds[0]);
  common::UniqueFd peer(fds[1]);
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(common::tls::new_socket_bio(socket.get()),
                                                      &BIO_free);
  REQUIRE(bio);
  const std::vector<char> piece(64 * 1024);
  int written = 1;
  while (written > 0)
    written = BIO_write(bio.get(), piece.data(), static_cast<int>(piece.size()));
  CHECK(written == -1);
  CHECK(BIO_should_retry(bio.get()) != 0);
  peer.reset();
  CHECK(BIO_write(bio.get(), piece.data(), 1) == -1);
  CHECK(BIO_should_retry(bio.get()) == 0);
}
