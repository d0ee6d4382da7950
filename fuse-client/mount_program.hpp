#pragma once

#include <memory>
#include <string>

#include "common/daemon/program.hpp"
#include "common/result.hpp"

namespace fuse_client {

struct MountSettings {
  std::string runtime_directory;

  // Defaults from the environment; declares [runtime].
  void declare(common::config::Schema& schema);
};

// Whether there is a directory to mount at, and a place for the socket; returns a line for people.
common::Result<std::string> check_mount(const MountSettings& settings,
                                        const common::daemon::Foundation& foundation);

// A running mount. Does not mount yet: it serves its status and says so.
common::Result<std::unique_ptr<common::daemon::Application>> start_mount(
    const MountSettings& settings, const common::daemon::Foundation& foundation);

}  // namespace fuse_client
