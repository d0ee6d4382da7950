// bench_rpc: what a call and a transfer cost, beside stock cpp-httplib in the same run.
//
// Server and client are processes of their own, alike for both makes; the runs of the two makes
// alternate, so that whatever else the machine does falls on both. Figures are medians of all
// rounds; a ratio is the median of the rounds' own ratios.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>

#include <nlohmann/json.hpp>

#include "bench/rpc_peers.hpp"
#include "tests/support/test_cell.hpp"

extern char** environ;

namespace bench {

std::string lookup_reply(std::string_view name, std::uint64_t parent) {
  return nlohmann::json{{"node", parent + 1},
                        {"name", name},
                        {"type", "file"},
                        {"size", 1'234'567},
                        {"mode", 420},
                        {"uid", 1000},
                        {"mtime_ns", 1790000000123456789},
                        {"version", 987654321},
                        {"promise", true}}
      .dump();
}

Measured run_callers(int callers, double seconds,
                     const std::function<std::function<bool()>()>& make_call) {
  constexpr int kWarmCalls = 50;
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> calls{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      const auto call = make_call();
      bool good = true;
      for (int warm = 0; warm < kWarmCalls; ++warm)
        good = call() && good;
      ++ready;
      while (!go)
        std::this_thread::yield();
      std::uint64_t mine = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        good = call() && good;
        ++mine;
      }
      if (!good) {
        std::fprintf(stderr, "a call failed\n");
        std::exit(1);
      }
      calls += mine;
    });
  }
  while (ready < callers)
    std::this_thread::yield();
  Measured measured;
  const double cpu = cpu_seconds_of_this_process();
  const auto begin = std::chrono::steady_clock::now();
  go = true;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (auto& thread : threads)
    thread.join();
  measured.seconds = since(begin);
  measured.cpu_seconds = cpu_seconds_of_this_process() - cpu;
  measured.calls = calls;
  return measured;
}

namespace {

// A child whose standard output is read; a server child also hears the end of its standard input.
struct Child {
  pid_t pid = -1;
  int in = -1;
  int out = -1;

  explicit Child(std::vector<std::string> arguments) {
    int to[2];
    int from[2];
    if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0)
      std::exit(1);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    arguments.insert(arguments.begin(), "bench_rpc");
    std::vector<char*> argv;
    for (auto& argument : arguments)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
    if (posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ) != 0) {
      std::exit(1);
    }
    posix_spawn_file_actions_destroy(&actions);
    ::close(to[0]);
    ::close(from[1]);
    in = to[1];
    out = from[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::close(in);
    ::close(out);
    int status = 0;
    ::waitpid(pid, &status, 0);
  }

  [[nodiscard]] std::string read_line() const {
    std::string line;
    char c = 0;
    while (::read(out, &c, 1) == 1 && c != '\n')
      line += c;
    return line;
  }
  [[nodiscard]] double cpu_seconds() const {
    clockid_t clock{};
    timespec time{};
    ::clock_getcpuclockid(pid, &clock);
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }
};

struct Options {
  int rounds = 7;
  double seconds = 1.0;
  std::uint64_t mebibytes = 1024;
};

// One figure of one make, a value per round.
using Samples = std::map<std::string, std::vector<double>>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void measure(const std::string& make, const std::string& directory, const Child& server, int port,
             const Load& load, Samples& samples) {
  const double server_cpu = server.cpu_seconds();
  Child client({"--" + make + "-client", directory, std::to_string(port), load.kind,
                std::to_string(load.callers), std::to_string(load.seconds),
                std::to_string(load.size)});
  Measured measured;
  unsigned long long calls = 0;
  if (std::sscanf(client.read_line().c_str(), "%lf %llu %lf", &measured.seconds, &calls,
                  &measured.cpu_seconds) != 3) {
    std::fprintf(stderr, "a %s client failed\n", make.c_str());
    std::exit(1);
  }
  const double cpu = server.cpu_seconds() - server_cpu + measured.cpu_seconds;
  if (load.kind == "json") {
    const std::string suffix = "_" + std::to_string(load.callers);
    const auto count = static_cast<double>(calls);
    samples["json_calls_per_s" + suffix].push_back(count / measured.seconds);
    samples["cpu_us_per_call" + suffix].push_back(cpu / count * 1e6);
  } else {
    const double megabytes = static_cast<double>(load.size) / 1e6;
    samples[load.kind + "_MBps"].push_back(megabytes / measured.seconds);
    samples[load.kind + "_cpu_ms_per_GB"].push_back(cpu / megabytes * 1e6);
  }
}

int drive(const Options& options) {
  const test_support::TestCell cell;
  (void)cell.issue("server");
  const std::string& directory = cell.directory();
  const Child ours({"--ours-server", directory});
  const Child stock({"--stock-server", directory});
  const int our_port = std::atoi(ours.read_line().c_str());
  const int stock_port = std::atoi(stock.read_line().c_str());
  const std::uint64_t size = options.mebibytes * 1024 * 1024;
  const Load loads[] = {{"json", 1, options.seconds, 0},
                        {"json", 16, options.seconds, 0},
                        {"get", 1, 0, size},
                        {"put", 1, 0, size}};
  Samples our_samples;
  Samples stock_samples;
  for (int round = 0; round < options.rounds; ++round) {
    for (const Load& load : loads) {
      const bool ours_first = round % 2 == 0;
      if (ours_first)
        measure("ours", directory, ours, our_port, load, our_samples);
      measure("stock", directory, stock, stock_port, load, stock_samples);
      if (!ours_first)
        measure("ours", directory, ours, our_port, load, our_samples);
    }
    std::fprintf(stderr, "rpc: round %d of %d\n", round + 1, options.rounds);
  }
  nlohmann::ordered_json report;
  for (const auto& [key, values] : our_samples) {
    const auto& bare = stock_samples[key];
    std::vector<double> ratios;
    for (std::size_t i = 0; i < values.size(); ++i)
      ratios.push_back(values[i] / bare[i]);
    report[key] = median(values);
    report[key + "_bare"] = median(bare);
    report[key + "_vs_bare"] = median(ratios);
  }
  report["rounds"] = options.rounds;
  std::printf("%s\n", report.dump().c_str());
  return 0;
}

int child_main(const std::string& role, char** arguments, int count) {
  Peers peers{arguments[0], count > 1 ? std::atoi(arguments[1]) : 0};
  if (role == "--ours-server")
    return serve_ours(peers);
  if (role == "--stock-server")
    return serve_stock(peers);
  const Load load{arguments[2], std::atoi(arguments[3]), std::atof(arguments[4]),
                  std::strtoull(arguments[5], nullptr, 10)};
  const Measured measured =
      role == "--ours-client" ? load_ours(peers, load) : load_stock(peers, load);
  std::printf("%f %llu %f\n", measured.seconds, static_cast<unsigned long long>(measured.calls),
              measured.cpu_seconds);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.ends_with("-server") || argument.ends_with("-client")) {
      return bench::child_main(argument, argv + i + 1, argc - i - 1);
    }
    if (argument == "--rounds" && i + 1 < argc) {
      options.rounds = std::max(std::atoi(argv[++i]), 1);
    } else if (argument == "--seconds" && i + 1 < argc) {
      options.seconds = std::atof(argv[++i]);
    } else if (argument == "--mib" && i + 1 < argc) {
      options.mebibytes = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument != "--json") {
      std::fprintf(stderr, "usage: bench_rpc [--json] [--rounds N] [--seconds S] [--mib N]\n");
      return 2;
    }
  }
  return bench::drive(options);
}
