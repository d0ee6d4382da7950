// kill -9 of real processes.

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <random>

#include "tests/support/db_crash_check.hpp"
#include "tests/unit/common/db/db_fixture.hpp"

using namespace db_test;

namespace {

constexpr int kKills = 60;

// Memory that a child shares with the test, so what it acknowledged survives its death.
struct SharedCounter {
  std::atomic<std::int64_t>* value;
  SharedCounter()
      : value(static_cast<std::atomic<std::int64_t>*>(
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    REQUIRE(value != MAP_FAILED);
  }
  ~SharedCounter() { ::munmap(value, 4096); }
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
};

void write_until_killed(const std::string& path, std::atomic<std::int64_t>& acknowledged) {
  auto db = test_support::open_crash_database(path, system_clock());
  if (!db)
    return;
  for (;;) {
    const std::int64_t next = acknowledged.load() + 1;
    if (!test_support::add_entry(**db, next))
      return;
    acknowledged.store(next);
  }
}

}  // namespace

TEST_CASE("kill -9 at any moment loses no acknowledged commit (G6)") {
  const TemporaryDirectory directory(test_support::scratch_directory());
  const SharedCounter acknowledged;
  std::mt19937_64 random(42);
  std::int64_t total = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    test_support::run_and_kill([&] { write_until_killed(directory.db(), *acknowledged.value); },
                               std::chrono::microseconds(random() % 15'000 + 500));
    const auto verdict = test_support::inspect_crash_database(directory.db(), system_clock());
    CAPTURE(verdict.why);
    REQUIRE(verdict.consistent);
    REQUIRE(verdict.entries >= acknowledged.value->load());
    // One more may be there: committed, but killed before it could say so. And the inspection adds
    // one of its own.
    REQUIRE(verdict.entries <= acknowledged.value->load() + 1);
    acknowledged.value->store(verdict.entries + 1);
    total = verdict.entries;
  }
  CHECK(total > kKills);
}

TEST_CASE("a second process is refused with the pid of the first (F12)") {
  const TemporaryDirectory directory;
  std::array<int, 2> ready{};
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    const auto db = open_db(directory);
    const char opened = db ? 'y' : 'n';
    if (::write(ready[1], &opened, 1) != 1)
      ::_exit(1);
    for (;;)
      ::pause();
  }
  char opened = 0;
  REQUIRE(::read(ready[0], &opened, 1) == 1);
  ::close(ready[0]);
  ::close(ready[1]);
  REQUIRE(opened == 'y');
  const auto refused = open_db(directory);
  CHECK_FAILS(refused, ErrorCode::Busy);
  CHECK(refused.error().message.find("process " + std::to_string(holder)) != std::string::npos);
  CHECK(refused.error().message.find('\n') == std::string::npos);
  ::kill(holder, SIGKILL);
  REQUIRE(::waitpid(holder, nullptr, 0) == holder);
  CHECK_OK(open_db(directory));
}
