#pragma once

// Two TLS sessions over a socket pair, driven by hand in one thread.

#include <sys/socket.h>

#include <string>

#include "common/io/unique_fd.hpp"
#include "common/tls/connection.hpp"

namespace test_support {

struct TlsPair {
  common::UniqueFd client_socket;
  common::UniqueFd server_socket;
  std::optional<common::tls::Connection> client;
  std::optional<common::tls::Connection> server;
  common::Result<common::tls::Progress> client_result;
  common::Result<common::tls::Progress> server_result;

  TlsPair(const common::tls::ContextPtr& client_context,
          const common::tls::ContextPtr& server_context,
          const std::string& server_name = "localhost") {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
      std::abort();
    client_socket.reset(fds[0]);
    server_socket.reset(fds[1]);
    client = *common::tls::Connection::connect(client_context, fds[0], server_name);
    server = *common::tls::Connection::accept(server_context, fds[1]);
  }
  ~TlsPair() {
    client.reset();
    server.reset();
  }

  // Steps both sides until both are finished or one has failed; true when both are finished.
  bool handshake() {
    for (int round = 0; round < 10; ++round) {
      client_result = client->handshake();
      server_result = server->handshake();
      if (!client_result || !server_result)
        break;
      if (client_result->finished() && server_result->finished())
        return true;
    }
    // Whoever is left hears why.
    if (client_result && !client_result->finished())
      client_result = client->handshake();
    if (server_result && !server_result->finished())
      server_result = server->handshake();
    return false;
  }
};

}  // namespace test_support
