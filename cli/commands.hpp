#pragma once

// The commands of `troth`. Each function adds its part to the tree; what a command does runs when
// it was chosen, and leaves its exit code behind. Main thread only.

#include <functional>

#include "cli/command_line.hpp"
#include "common/clock.hpp"

namespace cli {

inline constexpr int kExitOk = 0;  // done; everything asked about is well
inline constexpr int kExitFailure =
    1;                                // it could not be done, or something asked about is not well
inline constexpr int kExitUsage = 2;  // the command line is wrong

// What all commands share.
struct Session {
  const common::Clock& clock;
  // Set by the chosen command.
  std::function<int()> action;
};

void add_cell_commands(Command app, Session& session);
void add_cert_commands(Command cell, Session& session);
void add_join_commands(Command cell, Session& session);
void add_login_commands(Command app, Session& session);
void add_whoami_commands(Command app, Session& session);
void add_user_commands(Command app, Session& session);
void add_group_commands(Command app, Session& session);
void add_service_commands(Command app, Session& session);
void add_policy_commands(Command app, Session& session);
void add_audit_command(Command app, Session& session);
void add_kdc_commands(Command app, Session& session);
void add_store_commands(Command app, Session& session);
void add_status_command(Command app, Session& session);
void add_version_command(Command app, Session& session);
void add_completion_command(Command app, Session& session);
void add_help_command(Command app, Session& session);

}  // namespace cli
