#pragma once

#include <memory>
#include <string>

#include "common/daemon/daemon.hpp"
#include "common/result.hpp"
#include "fileserver/operations/dispatch.hpp"

namespace fileserver {

// What troth-fileserver's configuration says beside what every server's does.
struct Settings {
  common::config::Endpoint stream_listen{"127.0.0.1", 7487};
  std::string volume_keys;  // a directory; empty: in the data directory
  std::uint32_t open_volumes = 256;
  std::chrono::milliseconds lease{10'000};
  std::chrono::milliseconds idle{600'000};
  std::uint32_t keep_days = 7;
  std::uint64_t keep_commits = 10'000;
  std::uint64_t scrub_bytes_per_second = 8 << 20;
  AccessLog access_log = AccessLog::Refused;
  std::string kdc;  // host:port of the KDC; empty: nobody is asked who is disabled
  std::chrono::milliseconds ask_every{10'000};

  void declare(common::config::Schema& schema);
};

// What troth-fileserver does besides answering status and health: volumes, sessions, promises, and
// the calls of PROTOCOL.md. Owned by run_daemon.
common::Result<std::unique_ptr<common::daemon::Service>> make_service(
    const Settings& settings, const common::daemon::ServerFoundation& foundation);

}  // namespace fileserver
