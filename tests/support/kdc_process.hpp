#pragma once

// A real troth-kdc over the files of a cell (kdc_server.hpp), on a port of its choice.

#include <optional>
#include <string>

#include "tests/support/kdc_server.hpp"
#include "tests/support/process.hpp"

namespace test_support {

// Not safe from several threads. The destructor kills it.
class KdcProcess {
 public:
  explicit KdcProcess(const KdcFiles& files) : files_(files) {}

  // Starts it and returns once it serves; the failure quotes what it said instead.
  common::Status start();
  // kill -9.
  void kill() { process_->kill(); }
  // SIGTERM, and waits for its end.
  [[nodiscard]] common::Result<ExitStatus> terminate();

  [[nodiscard]] Process& process() { return *process_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] common::auth::KdcClient client() const { return files_.client(port_); }

 private:
  const KdcFiles& files_;
  std::optional<Process> process_;
  std::uint16_t port_ = 0;
};

}  // namespace test_support
