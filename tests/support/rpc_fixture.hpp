#pragma once

// A cell of one server and its clients in this process, in a few lines:
//
//   RpcCell cell;                                  // authority, server certificate
//   cell.limits.head = 100ms;                      // before start()
//   cell.add({.service = "t", .name = "echo", .handler = ...});
//   cell.start();
//   auto client = cell.client();
//   auto result = client->call(cell.request("t", "echo", R"({"x":1})"));

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"

namespace test_support {

// Failures of the set-up throw: doctest reports them as the test's failure.
class RpcCell {
 public:
  common::rpc::ServerLimits limits;
  common::tls::ClientCertificates client_certificates = common::tls::ClientCertificates::Optional;

  RpcCell() : server_files_(cell_.issue("server")) {
    // Longer than any test waits: an honest caller on a busy machine is not to be cut.
    limits.handshake = limits.head = limits.transfer_base = 2 * kPatience;
    add_standard_operations();
  }

  [[nodiscard]] const TestCell& certificates() const { return cell_; }
  [[nodiscard]] const CertificateFiles& server_files() const { return server_files_; }
  [[nodiscard]] common::rpc::Server& server() { return *server_; }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }

  void add(common::rpc::Operation operation) { insist(operations_.add(std::move(operation))); }

  // All that is added before or after needs a session, apart from what is open to all.
  void demand_sessions() { operations_.demand_sessions(); }

  void start(std::uint16_t port = 0) {
    common::rpc::ServerOptions options;
    options.port = port;
    options.tls = server_context();
    options.role = "test";
    options.version = "0";
    options.limits = limits;
    server_ = take(common::rpc::Server::start(std::move(options), operations_));
  }
  void stop() { server_.reset(); }

  [[nodiscard]] std::shared_ptr<common::tls::ReloadableContext> server_context() const {
    const common::tls::ServerOptions options{server_files_.certificate, server_files_.key,
                                             cell_.ca(), client_certificates};
    return take(common::tls::ReloadableContext::make(
        [options] { return common::tls::make_server(options); }));
  }
  // With `files`: a client that shows a certificate.
  [[nodiscard]] std::shared_ptr<common::tls::ReloadableContext> client_context(
      const CertificateFiles& files = {}) const {
    const common::tls::ClientOptions options{cell_.ca(), files.certificate, files.key};
    return take(common::tls::ReloadableContext::make(
        [options] { return common::tls::make_client(options); }));
  }
  [[nodiscard]] common::rpc::ClientOptions client_options(
      const CertificateFiles& files = {}) const {
    return {.host = "127.0.0.1",
            .port = server_ ? server_->port() : std::uint16_t{0},
            .tls = client_context(files)};
  }
  [[nodiscard]] std::unique_ptr<common::rpc::Client> client(
      const CertificateFiles& files = {}) const {
    return std::make_unique<common::rpc::Client>(client_options(files));
  }

  // A request that gives up in time for a broken test to end.
  [[nodiscard]] static common::rpc::Request request(std::string_view service,
                                                    std::string_view operation,
                                                    std::string args = {}) {
    common::rpc::Request request;
    request.service = service;
    request.operation = operation;
    request.args = std::move(args);
    request.deadline = common::rpc::now() + kPatience;
    return request;
  }

 private:
  template <typename T>
  static T take(common::Result<T> result) {
    if (!result)
      throw std::runtime_error(result.error().message);
    return *std::move(result);
  }
  static void insist(const common::Status& status) {
    if (!status)
      throw std::runtime_error(status.error().message);
  }

  // test/echo returns its arguments, test/echo-bytes its body.
  void add_standard_operations() {
    using common::rpc::Call;
    using common::rpc::Reply;
    add({.service = "test", .name = "echo", .handler = [](Call& call) -> common::Result<Reply> {
           return Reply::json(call.args());
         }});
    add({.service = "test",
         .name = "echo-bytes",
         .handler = [](Call& call) -> common::Result<Reply> {
           Reply reply = Reply::json(call.args());
           reply.bytes.assign(call.body().begin(), call.body().end());
           return reply;
         },
         .body_cap = 1024 * 1024});
  }

  TestCell cell_;
  CertificateFiles server_files_;
  common::rpc::OperationTable operations_;
  std::unique_ptr<common::rpc::Server> server_;
};

}  // namespace test_support
