#include "kdc/service.hpp"

namespace kdc {

common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const common::daemon::ServerFoundation&) {
  return common::daemon::health_only_service("serves health only: no principals and tickets yet");
}

}  // namespace kdc
