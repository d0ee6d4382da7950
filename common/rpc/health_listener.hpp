#pragma once

// Metrics and health for people's own tools: exactly `GET /metrics` (Prometheus text) and
// `GET /health` (200 or 503, one JSON object), on a listener of their own, so that neither can
// stand in the other's way. Plain HTTP on loopback; anywhere else only TLS with a client
// certificate.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/result.hpp"
#include "common/rpc/health.hpp"
#include "common/tls/context.hpp"

namespace common::rpc {

struct HealthListenerOptions {
  std::string address = "127.0.0.1";  // numeric
  std::uint16_t port = 0;             // zero: any; see port()
  // None: plain HTTP, on loopback only. Beyond loopback it must require client certificates.
  std::shared_ptr<tls::ReloadableContext> tls;
};

// One thread, a handful of connections, three seconds for each. The two functions are called in
// that thread, must not block, and must stay callable until stop() has returned.
class HealthListener {
 public:
  [[nodiscard]] static Result<std::unique_ptr<HealthListener>> start(
      HealthListenerOptions options, std::function<std::string()> metrics_text,
      std::function<HealthReport()> health);

  HealthListener(const HealthListener&) = delete;
  HealthListener& operator=(const HealthListener&) = delete;
  ~HealthListener();  // stops

  [[nodiscard]] std::uint16_t port() const;
  void stop();

 private:
  class Impl;
  explicit HealthListener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace common::rpc
