#include <exception>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/troth.hpp"
#include "common/crypto/process_secrets.hpp"

int main(int argc, char** argv) {
  try {
    // Passwords and keys pass through here: no core file, no debugger of the same user.
    if (const auto kept = common::crypto::keep_memory_private(); !kept) {
      cli::print_error(kept.error().message);
      return cli::kExitFailure;
    }
    const common::SystemClock clock;
    return cli::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), clock);
  } catch (const std::exception& error) {
    // Out of memory, or a bug: nothing below throws on purpose.
    cli::print_error(error.what());
    return cli::kExitFailure;
  }
}
