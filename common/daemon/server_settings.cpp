#include "common/daemon/server_settings.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace common::daemon {

namespace {

Status check_address(const config::Schema& schema, std::string_view key,
                     const config::Endpoint& endpoint) {
  if (is_numeric_address(endpoint.host))
    return {};
  return fail(ErrorCode::InvalidArgument,
              "{} is \"{}\"; expected a numeric address to listen on, such as 127.0.0.1 or [::]",
              schema.origin("server", key), config::format_endpoint(endpoint));
}

}  // namespace

void ServerSettings::declare(config::Schema& schema, std::string_view role_of_program) {
  role = role_of_program;
  schema.section("server", "Which server this is and where it listens.")
      .text("name", &name, "Its name in the cell, as in its certificate.",
            config::Presence::Required)
      .choice("role", &role, {{role.c_str(), role}},
              "What the file is for; a file for another role is refused.")
      .endpoint("listen", &listen, "Numeric address and port for calls; port 0 is any free one.",
                config::PortZero::Allowed)
      .endpoint("health_listen", &health_listen,
                "Address and port of GET /metrics and GET /health. Beyond loopback a client "
                "certificate of the cell is asked for.",
                config::PortZero::Allowed)
      .path("data_dir", &data_dir, "Directory of its data (0700, its own). Made if missing.",
            config::Presence::Required);
  schema.section("tls", "Who it is. All are PEM files; the key's must be closed to others.")
      .path("certificate", &certificate, "Its certificate.", config::Presence::Required)
      .path("key", &key, "The certificate's private key.", config::Presence::Required)
      .path("ca", &ca, "The cell's authority.", config::Presence::Required);
  schema.section("limits", "What it takes on at most.")
      .integer("connections", &connections, {1, 1'000'000}, "Connections in all.")
      .integer("connections_per_address", &connections_per_address, {1, 1'000'000},
               "Connections from one address.")
      .integer("threads", &threads, {1, 4096}, "Worker threads, started as they are needed.");
}

void ServerSettings::declare_auth(config::Schema& schema) {
  schema.section("auth", "How it recognises who is calling.")
      .path("keytab", &keytab,
            "The keys that tickets for it are sealed with; its owner's alone. Read again on SIGHUP "
            "and when a newer key is named.",
            config::Presence::Required);
}

Status ServerSettings::check(const config::Schema& schema) const {
  TROTH_TRY_VOID(check_address(schema, "listen", listen));
  TROTH_TRY_VOID(check_address(schema, "health_listen", health_listen));
  if (listen == health_listen && listen.port != 0) {
    return fail(ErrorCode::InvalidArgument, "{} is the same as {}: each needs a port of its own",
                schema.origin("server", "health_listen"), schema.origin("server", "listen"));
  }
  return {};
}

bool is_numeric_address(const std::string& address) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, address.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, address.c_str(), &buffer) == 1;
}

bool is_loopback_address(const std::string& address) {
  in_addr four{};
  if (::inet_pton(AF_INET, address.c_str(), &four) == 1)
    return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, address.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

}  // namespace common::daemon
