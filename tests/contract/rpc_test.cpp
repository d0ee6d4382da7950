// Our server and our client against peers that we did not write: stock cpp-httplib and curl.

#include <httplib_stock.h>

#include <cstdio>
#include <thread>

#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using namespace common::rpc;
using test_support::RpcCell;

namespace {

std::string run(const std::string& command) {
  std::string output;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr)
    return output;
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) {
    output.append(buffer, got);
  }
  ::pclose(pipe);
  return output;
}

}  // namespace

TEST_CASE("stock cpp-httplib's client calls our server over one kept connection") {
  RpcCell cell;
  cell.start();
  httplib_stock::SSLClient client("127.0.0.1", cell.port());
  client.set_ca_cert_path(cell.certificates().ca());
  client.set_keep_alive(true);
  for (int i = 0; i < 3; ++i) {
    auto reply = client.Post("/v1/test/echo", R"({"v":1,"args":[1,2]})", "application/json");
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(nlohmann::json::parse(reply->body).at("result") == nlohmann::json{1, 2});
    CHECK(reply->headers.size() == 2);  // type and length, nothing else
  }
  CHECK(cell.server().stats().accepted == 1);
  auto missing = client.Post("/v1/test/none", R"({"v":1})", "application/json");
  REQUIRE(missing);
  CHECK(missing->status == 404);
  auto get = client.Get("/v1/test/echo");
  REQUIRE(get);
  CHECK(get->status == 405);
}

TEST_CASE("our client calls a stock cpp-httplib server, which answers as the protocol asks") {
  RpcCell cell;
  httplib_stock::SSLServer server(cell.server_files().certificate.c_str(),
                                  cell.server_files().key.c_str());
  server.Post("/v1/t/good", [](const httplib_stock::Request& request, auto& response) {
    const auto head = nlohmann::json::parse(request.body);
    response.set_content(nlohmann::json{{"epoch", 5}, {"result", head.at("args")}}.dump(),
                         "application/json");
  });
  server.Post("/v1/t/chunked", [](const httplib_stock::Request&, auto& response) {
    response.set_chunked_content_provider("application/json",
                                          [](std::size_t, httplib_stock::DataSink& sink) {
                                            sink.write("{}", 2);
                                            sink.done();
                                            return true;
                                          });
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread listening([&] { server.listen_after_bind(); });
  server.wait_until_ready();
  {
    auto options = cell.client_options();
    options.port = static_cast<std::uint16_t>(port);
    Client client(options);
    for (int i = 0; i < 3; ++i) {
      auto result = client.call(RpcCell::request("t", "good", "\"x\""));
      REQUIRE_OK(result.answer);
      CHECK(result.answer->epoch == 5);
      CHECK(result.answer->result() == "x");
    }
    auto missing = client.call(RpcCell::request("t", "none"));
    CHECK(missing.outcome == Outcome::Answered);
    CHECK_FAILS(missing.answer, ErrorCode::NotFound);
    auto chunked = client.call(RpcCell::request("t", "chunked"));
    CHECK(chunked.outcome == Outcome::Unknown);
  }
  server.stop();
  listening.join();
}

TEST_CASE("curl calls our server") {
  if (run("command -v curl").empty())
    SKIP_TEST("curl is not installed");
  RpcCell cell;
  cell.start();
  const std::string curl =
      "curl -sS --max-time 20 --cacert " + cell.certificates().ca() +
      " -H 'Content-Type: application/json' https://127.0.0.1:" + std::to_string(cell.port());
  const std::string reply = run(curl + R"(/v1/test/echo -d '{"v":1,"args":{"a":1}}')");
  CHECK(reply.find(R"("result":{"a":1})") != std::string::npos);
  const std::string status = run(curl + R"(/v1/test/status -d '{"v":1}')");
  CHECK(status.find(R"("role":"test")") != std::string::npos);
  CHECK(run(curl + "/v1/test/echo -o /dev/null -w '%{http_code}' -d '{}'") == "400");
  CHECK(run(curl + "/v1/test/echo -o /dev/null -w '%{http_code}'") == "405");
  // Two requests over one connection.
  const std::string twice =
      run(curl + R"(/v1/test/echo -d '{"v":1}' -w '%{num_connects}' --next )" + curl.substr(5) +
          R"(/v1/test/echo -d '{"v":1}' -w '%{num_connects}')");
  CHECK(twice.ends_with("0"));
}
