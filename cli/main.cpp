#include <exception>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/troth.hpp"

int main(int argc, char** argv) {
  try {
    const common::SystemClock clock;
    return cli::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), clock);
  } catch (const std::exception& error) {
    // Out of memory, or a bug: nothing below throws on purpose.
    cli::print_error(error.what());
    return cli::kExitFailure;
  }
}
