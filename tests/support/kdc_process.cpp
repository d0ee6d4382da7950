#include "tests/support/kdc_process.hpp"

#include <signal.h>

#include <cstdlib>
#include <fstream>

namespace test_support {

common::Status KdcProcess::start() {
  const std::filesystem::path config = files_.path() / "kdc.toml";
  std::ofstream(config) << "[server]\nname = \"kdc1\"\nrole = \"kdc\"\nlisten = \"127.0.0.1:0\"\n"
                           "health_listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[tls]\n"
                           "certificate = \"server.crt\"\nkey = \"server.key\"\nca = \"ca.crt\"\n";
  TROTH_TRY(const auto program, find_program("troth-kdc"));
  TROTH_TRY(process_, Process::spawn(program, {"--config", config}));
  TROTH_TRY(const std::string line, process_->wait_for_line("serving"));
  constexpr std::string_view kPort = " port=";
  const auto at = line.find(kPort);
  if (at == std::string::npos)
    return common::fail(common::ErrorCode::Internal, "no port in: {}", line);
  port_ = static_cast<std::uint16_t>(std::strtoul(line.c_str() + at + kPort.size(), nullptr, 10));
  return {};
}

common::Result<ExitStatus> KdcProcess::terminate() {
  TROTH_TRY_VOID(process_->signal(SIGTERM));
  return process_->wait();
}

}  // namespace test_support
