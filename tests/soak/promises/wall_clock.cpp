#include "tests/soak/promises/wall_clock.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

// Of the mapped file; null: the clock is right.
std::atomic<const std::atomic<std::int64_t>*> g_offset{nullptr};

int wrong_time(clockid_t clock, timespec* time) {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  const auto* const offset = g_offset.load(std::memory_order_relaxed);
  if (result != 0 || offset == nullptr || clock != CLOCK_REALTIME)
    return result;
  const std::int64_t ns =
      time->tv_sec * kNsPerSecond + time->tv_nsec + offset->load(std::memory_order_relaxed);
  time->tv_sec = ns / kNsPerSecond;
  time->tv_nsec = ns % kNsPerSecond;
  return 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  return wrong_time(clock, time);
}

int gettimeofday(timeval* time, void*) noexcept {
  timespec now{};
  const int result = wrong_time(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return result;
}

time_t time(time_t* into) noexcept {
  timespec now{};
  wrong_time(CLOCK_REALTIME, &now);
  if (into != nullptr)
    *into = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"

namespace promises_real {

namespace {

std::atomic<std::int64_t>* map(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* const mapped =
      fd < 0 || ::ftruncate(fd, sizeof(std::int64_t)) != 0
          ? MAP_FAILED
          : ::mmap(nullptr, sizeof(std::int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    std::perror("mapping the wall clock's offset");
    std::abort();
  }
  ::close(fd);
  return static_cast<std::atomic<std::int64_t>*>(mapped);
}

}  // namespace

void follow_wall_clock(const std::string& path) {
  g_offset = map(path);
}

void set_wall_clock(const std::string& path, std::int64_t offset_ns) {
  auto* const offset = map(path);
  *offset = offset_ns;
  ::munmap(offset, sizeof(std::int64_t));
}

}  // namespace promises_real
