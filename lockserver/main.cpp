// troth-lockserver: the lock server of a cell: leases and fencing tokens.

#include "common/daemon/daemon.hpp"
#include "lockserver/service.hpp"

int main(int argc, char** argv) {
  return common::daemon::run_daemon(
      argc, argv,
      {
          .name = "troth-lockserver",
          .role = "lockserver",
          .about = "the lock server of a cell: leases and fencing tokens",
          .listen = {"127.0.0.1", 7481},
          .health_listen = {"127.0.0.1", 7491},
          .demands_tickets = true,
          .make = lockserver::make_service,
      });
}
