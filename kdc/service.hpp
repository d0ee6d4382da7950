#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/daemon/daemon.hpp"
#include "common/result.hpp"

namespace kdc {

// What troth-kdc's configuration says beside what every server's does.
struct Settings {
  std::string cell_description;
  unsigned scrypt_log2_n = 15;

  void declare(common::config::Schema& schema);
};

// What troth-kdc does beside answering status and health: opens the database in its data directory
// (at the first start it is made of the first contents there) and serves logins, tickets and
// administration. Owned by run_daemon.
common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const Settings& settings, const common::daemon::ServerFoundation& foundation);

// --dump and --load (kdc/offline.hpp).
std::vector<common::daemon::OfflineTask> offline_tasks();

}  // namespace kdc
