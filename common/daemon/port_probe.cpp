#include "common/daemon/port_probe.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/io/unique_fd.hpp"

namespace common::daemon {

Status check_can_listen(const config::Endpoint& endpoint, const std::string& origin) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(endpoint.port);
  if (::getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found) != 0) {
    return fail(ErrorCode::InvalidArgument, "{}: {} is not a numeric address", origin,
                endpoint.host);
  }
  const UniqueFd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // As the server does it: ports of connections that are only fading away are free.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool bound = fd.valid() && ::bind(fd.get(), found->ai_addr, found->ai_addrlen) == 0;
  const int error = errno;
  ::freeaddrinfo(found);
  if (bound)
    return {};
  const std::string where = config::format_endpoint(endpoint);
  if (error == EADDRINUSE) {
    return fail(ErrorCode::Busy,
                "cannot listen on {} ({}): the port is in use; stop the other program or set "
                "another port",
                where, origin);
  }
  if (error == EADDRNOTAVAIL) {
    return fail(ErrorCode::InvalidArgument,
                "cannot listen on {} ({}): this machine has no such address; set one that it has",
                where, origin);
  }
  return fail_errno(error, "cannot listen on {} ({}); set another address or port", where, origin);
}

}  // namespace common::daemon
