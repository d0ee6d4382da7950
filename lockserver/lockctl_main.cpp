// lockctl: shows and releases locks, for people.

#include "common/daemon/not_built.hpp"

int main(int argc, char** argv) {
  return common::daemon::run_not_built(
      argc, argv,
      {
          .name = "lockctl",
          .about = "shows who holds which lock in a cell, and releases locks",
          .missing = "the lock server grants no locks yet, so there is nothing to show",
      });
}
