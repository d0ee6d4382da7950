#include "tests/support/leak_check.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

namespace test_support {
namespace {

namespace fs = std::filesystem;

std::set<std::string> look() {
  std::set<std::string> result;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", ignored)) {
    const fs::path target = fs::read_symlink(entry.path(), ignored);
    // The listing itself is open while it is read.
    if (!ignored && target.native().find("/fd") == std::string::npos)
      result.insert(
          fmt::format("descriptor {} ({})", entry.path().filename().string(), target.string()));
  }
  for (const auto& task : fs::directory_iterator("/proc/self/task", ignored)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    result.insert(fmt::format("thread {} ({})", task.path().filename().string(), name));
    std::ifstream children(task.path() / "children");
    for (std::string pid; children >> pid;)
      result.insert("child process " + pid);
  }
  return result;
}

}  // namespace

LeakCheck::LeakCheck() {
  // The thread sanitizer starts a thread of its own beside the first one of the program.
  std::thread([] {}).join();
  before_ = look();
}

std::string LeakCheck::found(std::chrono::nanoseconds within) const {
  const auto until = std::chrono::steady_clock::now() + within;
  for (;;) {
    std::string leaks;
    for (const std::string& entry : look())
      if (!before_.contains(entry))
        leaks += entry + "\n";
    if (leaks.empty() || std::chrono::steady_clock::now() >= until)
      return leaks;
    std::this_thread::yield();
  }
}

}  // namespace test_support
