#pragma once

namespace unit_daemon {

// Where the build put unit_daemon_example.
const char* example_path();

}  // namespace unit_daemon
