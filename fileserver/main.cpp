// troth-fileserver: the file server of a cell: volumes, files and promises.

#include "common/daemon/daemon.hpp"
#include "fileserver/service.hpp"

int main(int argc, char** argv) {
  fileserver::Settings settings;
  return common::daemon::run_daemon(
      argc, argv,
      {
          .name = "troth-fileserver",
          .role = "fileserver",
          .about = "the file server of a cell: volumes, files and promises",
          .listen = {"127.0.0.1", 7482},
          .health_listen = {"127.0.0.1", 7492},
          .demands_tickets = true,
          .settings = [&](common::config::Schema& schema) { settings.declare(schema); },
          .make =
              [&](const common::daemon::ServerFoundation& foundation) {
                return fileserver::make_service(settings, foundation);
              },
      });
}
