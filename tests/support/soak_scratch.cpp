#include "tests/support/soak_scratch.hpp"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tests/support/db_crash_check.hpp"

namespace test_support {
namespace {

bool hide(const std::string& directory) {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("troth-soak", directory.c_str(), "tmpfs", 0, "mode=700") == 0;
}

std::string new_directory(const std::string& below) {
  std::string path = below + "/troth-soak-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    std::perror("making a directory");
    std::abort();
  }
  return path;
}

}  // namespace

SoakScratch::SoakScratch() {
  const std::string memory = scratch_directory();
  if (!hide(memory))
    std::fprintf(stderr, "files are where others see them: %s\n", std::strerror(errno));
  path_ = new_directory(memory);
}

SoakScratch::~SoakScratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string SoakScratch::make() const {
  return new_directory(path_);
}

RemovedAtEnd::~RemovedAtEnd() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace test_support
