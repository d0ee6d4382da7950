#pragma once

// A KDC in this process behind a real RPC server on loopback, and clients of it, in a few lines:
//
//   KdcServer kdc;                                   // administrator "root", services, a host
//   auto tgt = kdc.login("root", kRootPassword);
//   auto admin = kdc.admin("root", kRootPassword);   // fresh
//   admin.call("user-add", {{"name", "alice"}}, "a good password");
//
// Failures of the set-up throw: doctest reports them as the test's failure.

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/auth/kdc_client.hpp"
#include "common/clock.hpp"
#include "common/metrics/registry.hpp"
#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"
#include "common/ticket/keytab.hpp"
#include "kdc/kdc.hpp"
#include "tests/support/temp_dir.hpp"

namespace test_support {

// The machine's clocks, the wall clock moved by an offset.
class OffsetClock final : public common::Clock {
 public:
  [[nodiscard]] common::Instant now() const override { return system_.now(); }
  [[nodiscard]] common::WallTime wall_now() const override {
    return system_.wall_now() + std::chrono::nanoseconds(offset_.load());
  }
  void advance(common::Duration by) { offset_ += by.count(); }

 private:
  common::SystemClock system_;
  std::atomic<std::int64_t> offset_{0};
};

// The files of a cell of one KDC: certificates, and what the KDC begins with.
class KdcFiles {
 public:
  static constexpr std::string_view kCell = "cell-0001";
  static constexpr std::string_view kRootPassword = "correct horse battery";

  KdcFiles();
  [[nodiscard]] std::filesystem::path path() const { return directory_.path(); }
  [[nodiscard]] std::string data() const { return path() / "data"; }
  [[nodiscard]] std::string ca() const { return path() / "ca.crt"; }
  [[nodiscard]] std::string certificate() const { return path() / "server.crt"; }
  [[nodiscard]] std::string key() const { return path() / "server.key"; }
  // Of fileserver/fs1, fileserver/fs2 and host/desk7.
  [[nodiscard]] common::ticket::Keytab keytab(const std::string& name) const;

  [[nodiscard]] std::shared_ptr<common::tls::ReloadableContext> server_tls() const;
  [[nodiscard]] std::shared_ptr<common::tls::ReloadableContext> client_tls() const;
  [[nodiscard]] common::auth::KdcClient client(std::uint16_t port) const;

 private:
  TempDir directory_;
  std::vector<common::ticket::Keytab> keytabs_;
};

// Calls of administration over one connection.
class AdminClient {
 public:
  explicit AdminClient(common::rpc::ClientOptions options) : client_(std::move(options)) {}

  // With a fresh operation id, or the one given.
  common::Result<common::rpc::Answer> call(std::string_view operation,
                                           const nlohmann::json& args = nlohmann::json::object(),
                                           std::string_view bytes = {},
                                           std::optional<common::OperationId> id = std::nullopt);
  // The result, or throws with what the KDC said.
  nlohmann::json must(std::string_view operation,
                      const nlohmann::json& args = nlohmann::json::object(),
                      std::string_view bytes = {});
  [[nodiscard]] common::rpc::Client& client() { return client_; }

 private:
  common::rpc::Client client_;
};

class KdcServer {
 public:
  KdcServer();
  ~KdcServer();

  void start();
  void stop();

  // AS with a password; `service` is kdc/tgs or kdc/admin.
  common::Result<common::ticket::Credential> login(std::string_view user, std::string_view password,
                                                   std::string_view service = "kdc/tgs") const;
  common::Result<common::ticket::Credential> ticket(const common::ticket::Credential& tgt,
                                                    std::string_view service) const;
  // A session of that ticket.
  [[nodiscard]] std::unique_ptr<AdminClient> admin(common::ticket::Credential credential) const;
  // The same of a fresh one; throws if logging in fails.
  [[nodiscard]] std::unique_ptr<AdminClient> admin(std::string_view user,
                                                   std::string_view password) const;
  // A client without a session.
  [[nodiscard]] std::unique_ptr<common::rpc::Client> stranger() const;
  // By root.
  void add_user(std::string_view name, std::string_view password);

  [[nodiscard]] kdc::Kdc& kdc() { return *kdc_; }
  [[nodiscard]] const KdcFiles& files() const { return files_; }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] common::rpc::ServerStats stats() const { return server_->stats(); }
  // Ends all connections on which nothing happens.
  void hang_up() { server_->shed(1000); }
  [[nodiscard]] common::auth::KdcClient client() const { return files_.client(port()); }

  OffsetClock clock;
  common::metrics::Registry metrics;
  kdc::KdcOptions options;           // for the next start
  common::rpc::ServerLimits limits;  // likewise

 private:
  KdcFiles files_;
  std::unique_ptr<kdc::Kdc> kdc_;
  std::unique_ptr<common::rpc::Server> server_;
};

// "code: sentence" of a failure; "ok" of a success.
template <typename T>
std::string said(const common::Result<T>& result) {
  if (result)
    return "ok";
  return std::string(to_string(result.error().code)) + ": " + result.error().message;
}

inline common::Instant in_a_while() {
  return common::SystemClock().now() + std::chrono::seconds(60);
}

}  // namespace test_support
