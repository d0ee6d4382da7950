#pragma once

#include <memory>

#include "common/daemon/daemon.hpp"
#include "common/result.hpp"

namespace lockserver {

// What troth-lockserver does beside answering status and health. Owned by run_daemon.
common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const common::daemon::ServerFoundation& foundation);

}  // namespace lockserver
