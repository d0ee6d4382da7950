#include "lockserver/service.hpp"

namespace lockserver {

common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const common::daemon::ServerFoundation&) {
  return common::daemon::health_only_service("serves health only: no locks and leases yet");
}

}  // namespace lockserver
