#pragma once

namespace common::daemon {

// What a program's exit code says. packaging/systemd relies on kExitUsage: such a failure is not
// tried again.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotBuilt = 3;  // this program does nothing yet, and says so

}  // namespace common::daemon
