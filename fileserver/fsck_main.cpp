// troth-fsck: checks a file server's data directory while the server is stopped.

#include "common/daemon/not_built.hpp"

int main(int argc, char** argv) {
  return common::daemon::run_not_built(
      argc, argv,
      {
          .name = "troth-fsck",
          .about = "checks a stopped file server's data directory",
          .missing = "the file server stores nothing yet, so there is nothing to check",
      });
}
