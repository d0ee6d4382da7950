#pragma once

// What the configuration of every server of a cell says. `troth cell init` writes such files.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/config/schema.hpp"

namespace common::daemon {

struct ServerSettings {
  std::string name;
  std::string role;
  config::Endpoint listen;
  config::Endpoint health_listen;
  std::string data_dir;

  std::string certificate;
  std::string key;
  std::string ca;

  std::string keytab;  // of servers that recognise callers by tickets

  // The protocol's own defaults; common/rpc/PROTOCOL.md says why.
  std::uint32_t connections = 8192;
  std::uint32_t connections_per_address = 64;
  std::uint32_t threads = 256;

  // Declares [server], [tls] and [limits]; `listen` and `health_listen` hold the role's defaults.
  // A file written for another role is refused.
  void declare(config::Schema& schema, std::string_view role_of_program);
  // [auth], for servers that recognise callers by tickets. The KDC does not: it makes them.
  void declare_auth(config::Schema& schema);

  // What one can only say with all values at hand: addresses must be numbers, and differ.
  [[nodiscard]] Status check(const config::Schema& schema) const;
};

// Whether `address` is a numeric IPv4 or IPv6 address, and one that only this machine can reach.
bool is_numeric_address(const std::string& address);
bool is_loopback_address(const std::string& address);

}  // namespace common::daemon
