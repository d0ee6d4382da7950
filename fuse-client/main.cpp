// troth-mount: mounts a cell's volumes at a directory.

#include "fuse-client/mount_program.hpp"

int main(int argc, char** argv) {
  fuse_client::MountSettings settings;
  return common::daemon::run_program(
      argc, argv,
      {
          .name = "troth-mount",
          .about = "mounts the volumes of a cell at a directory (so far it serves its status only)",
          .usage = "DIR",
          .most_positional = 1,
          .needs_config = false,
          .settings = [&](common::config::Schema& schema) { settings.declare(schema); },
          .check = [&](const auto& foundation) { return check_mount(settings, foundation); },
          .start = [&](const auto& foundation) { return start_mount(settings, foundation); },
      });
}
