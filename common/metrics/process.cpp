#include "common/metrics/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>

#include "common/io/unique_fd.hpp"

namespace common::metrics {
namespace {

// A file of /proc is made when it is read: one read gets all of it, if the buffer is large enough.
std::string read_proc(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::array<char, 2048> buffer{};
  const ssize_t n = fd.valid() ? ::read(fd.get(), buffer.data(), buffer.size()) : -1;
  return n > 0 ? std::string(buffer.data(), static_cast<std::size_t>(n)) : std::string();
}

// Field `number` of /proc/self/stat as proc(5) counts them, from 3 (the state) on. The second one,
// the program's name, may hold anything, parentheses included: look for its end from the back.
double stat_field(const std::string& stat, int number) {
  std::size_t at = stat.rfind(')');
  for (int i = 2; i < number && at != std::string::npos; ++i)
    at = stat.find(' ', at + 1);
  if (at == std::string::npos)
    return 0;
  std::uint64_t value = 0;
  std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), value);
  return static_cast<double>(value);
}

double count_open_fds() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr)
    return 0;
  double count = 0;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.')
      ++count;
  }
  ::closedir(dir);
  return count - 1;  // the directory itself
}

// stat counts from the boot of the machine.
double boot_wall_seconds() {
  timespec wall{};
  timespec boot{};
  ::clock_gettime(CLOCK_REALTIME, &wall);
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  return static_cast<double>(wall.tv_sec - boot.tv_sec) +
         static_cast<double>(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

double max_fds() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return 0;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

ProcessUsage read_process_usage() {
  const std::string stat = read_proc("/proc/self/stat");
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  ProcessUsage usage;
  usage.cpu_seconds = (stat_field(stat, 14) + stat_field(stat, 15)) / ticks;
  usage.threads = stat_field(stat, 20);
  usage.start_time_seconds = boot_wall_seconds() + stat_field(stat, 22) / ticks;
  usage.virtual_bytes = stat_field(stat, 23);
  usage.resident_bytes = stat_field(stat, 24) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  usage.open_fds = count_open_fds();
  usage.max_fds = max_fds();
  return usage;
}

void add_process_metrics(Registry& registry) {
  const auto add = [&registry](Type type, const char* name, const char* help,
                               double ProcessUsage::*field) {
    registry.sampled(type, name, help, {}, [field] { return read_process_usage().*field; });
  };
  add(Type::Counter, "process_cpu_seconds_total", "User and system CPU time in seconds.",
      &ProcessUsage::cpu_seconds);
  add(Type::Gauge, "process_resident_memory_bytes", "Resident memory in bytes.",
      &ProcessUsage::resident_bytes);
  add(Type::Gauge, "process_virtual_memory_bytes", "Virtual memory in bytes.",
      &ProcessUsage::virtual_bytes);
  add(Type::Gauge, "process_open_fds", "Open file descriptors.", &ProcessUsage::open_fds);
  add(Type::Gauge, "process_max_fds", "Most file descriptors that may be open.",
      &ProcessUsage::max_fds);
  add(Type::Gauge, "process_threads", "Threads.", &ProcessUsage::threads);
  add(Type::Gauge, "process_start_time_seconds", "Start of the process since 1970 in seconds.",
      &ProcessUsage::start_time_seconds);
}

}  // namespace common::metrics
