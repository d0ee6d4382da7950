// troth-kdc: the key distribution centre of a cell: who people are.

#include "common/daemon/daemon.hpp"
#include "kdc/service.hpp"

int main(int argc, char** argv) {
  kdc::Settings settings;
  return common::daemon::run_daemon(
      argc, argv,
      {
          .name = "troth-kdc",
          .role = "kdc",
          .about = "the key distribution centre of a cell: who people are",
          .listen = {"127.0.0.1", 7480},
          .health_listen = {"127.0.0.1", 7490},
          .receives_secrets = true,
          .settings = [&](common::config::Schema& schema) { settings.declare(schema); },
          .make =
              [&](const common::daemon::ServerFoundation& foundation) {
                return kdc::make_service(settings, foundation);
              },
          .tasks = kdc::offline_tasks(),
      });
}
