#include "tests/unit/common/daemon/example_path.hpp"

const char* unit_daemon::example_path() {
  return TROTH_EXAMPLE_PROGRAM;
}
