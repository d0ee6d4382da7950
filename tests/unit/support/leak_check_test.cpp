#include "tests/support/leak_check.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "common/sync/locked.hpp"
#include "tests/support/process.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using test_support::LeakCheck;

TEST_CASE("what was there before and what is gone again is no leak") {
  const LeakCheck leaks;
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(fd);
  std::thread([] {}).join();
  CHECK(leaks.found() == "");
}

TEST_CASE("an open descriptor, a thread and a child are each found") {
  const LeakCheck leaks;
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(leaks.found(0ms).find("/dev/null") != std::string::npos);
  ::close(fd);

  common::Locked<bool> quit{false};
  common::CondVar changed;
  std::thread thread([&] { quit.lock().wait_for(changed, 30s, [](bool q) { return q; }); });
  CHECK(leaks.found(0ms).find("thread") != std::string::npos);
  *quit.lock() = true;
  changed.notify_all();
  thread.join();

  auto child = test_support::Process::spawn("/bin/sleep", {"1000"});
  REQUIRE_OK(child);
  CHECK(leaks.found(0ms).find("child process") != std::string::npos);
  child->kill();
}
