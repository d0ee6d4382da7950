#pragma once

#include <memory>

#include "common/clock.hpp"
#include "common/daemon/server_settings.hpp"
#include "common/result.hpp"
#include "common/tls/context.hpp"

namespace common::daemon {

// The context that a listener's sessions start from, made of the settings' files now and at every
// reload. Settings and clock outlive it. Reads files.
Result<std::shared_ptr<tls::ReloadableContext>> make_server_tls(const ServerSettings& settings,
                                                                const Clock& clock,
                                                                tls::ClientCertificates clients,
                                                                tls::Content content = {});

}  // namespace common::daemon
