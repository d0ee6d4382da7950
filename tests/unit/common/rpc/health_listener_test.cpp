#include "common/rpc/health_listener.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/support/patience.hpp"
#include "tests/support/raw_tls.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"

using common::ErrorCode;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::RawTls;
using test_support::TestCell;

namespace {

std::string ask(std::uint16_t port, std::string_view request) {
  auto socket = dial("127.0.0.1", port, now() + test_support::kPatience);
  if (!socket)
    return {};
  (void)!::send(socket->get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::string reply;
  char buffer[4096];
  while (wait_for(socket->get(), POLLIN, now() + test_support::kPatience) == Ready::Yes) {
    const ssize_t got = ::recv(socket->get(), buffer, sizeof buffer, 0);
    if (got <= 0)
      break;
    reply.append(buffer, static_cast<std::size_t>(got));
  }
  return reply;
}

std::shared_ptr<common::tls::ReloadableContext> server_context(
    const TestCell& cell, common::tls::ClientCertificates clients) {
  const auto files = cell.issue("server");
  const common::tls::ServerOptions options{files.certificate, files.key, cell.ca(), clients};
  auto made =
      common::tls::ReloadableContext::make([options] { return common::tls::make_server(options); });
  REQUIRE_OK(made);
  return *std::move(made);
}

}  // namespace

TEST_CASE("metrics and health are served, and nothing else") {
  HealthReport report;
  auto listener = HealthListener::start(
      {}, [] { return std::string("metric_total 1\n"); }, [&] { return report; });
  REQUIRE_OK(listener);
  const auto port = (*listener)->port();
  std::string reply = ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n");
  CHECK(reply.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(reply.ends_with("\r\n\r\nmetric_total 1\n"));
  reply = ask(port, "GET /health HTTP/1.0\r\n\r\n");
  CHECK(reply.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(reply.find(R"("ready":true)") != std::string::npos);
  report = {false, "no \"quorum\""};
  reply = ask(port, "GET /health HTTP/1.1\r\n\r\n");
  CHECK(reply.starts_with("HTTP/1.1 503 "));
  CHECK(reply.find(R"(no \"quorum\")") != std::string::npos);
  for (const char* line : {"GET / HTTP/1.1", "POST /metrics HTTP/1.1", "GET /metrics?x HTTP/1.1",
                           "GET //metrics HTTP/1.1", "GET /metrics"}) {
    CAPTURE(line);
    CHECK(ask(port, std::string(line) + "\r\n\r\n").starts_with("HTTP/1.1 404 "));
  }
  CHECK(ask(port, std::string(10'000, 'x')).empty());
}

TEST_CASE("silent callers do not keep others from being served") {
  auto listener = HealthListener::start(
      {}, [] { return std::string(); }, [] { return HealthReport{}; });
  REQUIRE_OK(listener);
  std::vector<common::UniqueFd> silent;
  for (int i = 0; i < 5; ++i) {
    auto socket = dial("127.0.0.1", (*listener)->port(), now() + test_support::kPatience);
    REQUIRE_OK(socket);
    silent.push_back(*std::move(socket));
  }
  CHECK(ask((*listener)->port(), "GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("beyond loopback only TLS with required client certificates is accepted") {
  TestCell cell;
  const auto text = [] { return std::string(); };
  const auto health = [] { return HealthReport{}; };
  using common::tls::ClientCertificates;
  CHECK_FAILS(HealthListener::start({.address = "0.0.0.0"}, text, health),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(HealthListener::start(
                  {.address = "0.0.0.0", .tls = server_context(cell, ClientCertificates::Optional)},
                  text, health),
              ErrorCode::InvalidArgument);
  auto listener = HealthListener::start(
      {.address = "0.0.0.0", .tls = server_context(cell, ClientCertificates::Required)}, text,
      health);
  REQUIRE_OK(listener);
  const auto node = cell.issue("node");
  auto context = common::tls::make_client({cell.ca(), node.certificate, node.key});
  REQUIRE_OK(context);
  RawTls scraper(*context, (*listener)->port());
  REQUIRE(scraper.good());
  scraper.send("GET /health HTTP/1.1\r\n\r\n");
  CHECK(scraper.receive_all().starts_with("HTTP/1.1 200"));

  auto stranger = common::tls::make_client({.ca = cell.ca()});
  REQUIRE_OK(stranger);
  RawTls refused(*stranger, (*listener)->port());
  if (refused.good()) {
    refused.send("GET /health HTTP/1.1\r\n\r\n");
    CHECK(refused.receive_all().empty());
  }
}
