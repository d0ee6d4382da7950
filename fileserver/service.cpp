#include "fileserver/service.hpp"

namespace fileserver {

common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const common::daemon::ServerFoundation&) {
  return common::daemon::health_only_service("serves health only: no volumes and files yet");
}

}  // namespace fileserver
