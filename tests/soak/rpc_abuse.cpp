// soak_rpc_abuse [--seconds N] [--seed S]: a live call server under attack, while honest callers
// must notice nothing.
//
// Three kinds of processes: the server (--serve), the attacker (--flood, --giant) and this one,
// which makes the honest calls from 127.0.0.1 and looks at the server from outside. All share the
// machine's cores. The attacker's own arithmetic, which in life is another machine's, runs as idle
// work (SCHED_IDLE); whatever the server does for the attacker counts in full.
//
// Phases: attack from one address and attack from 64, with quiet before, between and after; the
// attacker's CPU time burnt in the same way with no attack; streams of 1 GB. `p99_ratio` compares
// calls under the worse attack with all that was quiet, `dial_p90_ratio` those that begin with
// dialling: one of a hundred, ten times as long, so that together their 99th percentile would fall
// between the two kinds and mean neither. `p99_ratio_burnt` shows what part of the first is only
// the sharing of cores.

#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"
#include "common/sync/locked.hpp"
#include "tests/soak/rpc_abuse_flood.hpp"
#include "tests/support/abuse_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/test_cell.hpp"

namespace {

using namespace common;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using test_support::Process;

constexpr int kCallers = 4;
constexpr auto kCallPause = 5ms;
// An honest caller dials anew so often.
constexpr int kCallsPerConnection = 100;
constexpr double kMaxRatio = 2.0;
constexpr double kMaxGrowthMib = 32.0;
constexpr double kMinDials = 200.0;

[[noreturn]] void die(const std::string& why) {
  fmt::print(stderr, "soak_rpc_abuse: {}\n", why);
  std::exit(1);
}
template <typename T>
T must(Result<T> result, std::string_view what) {
  if (!result)
    die(fmt::format("{}: {}", what, result.error().message));
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

int serve(const std::string& certificate, const std::string& key, const std::string& ca) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  test_support::AbuseCounts counts;
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] {
             return tls::make_server({.certificate = certificate, .key = key, .ca = ca});
           }),
           "context");
  auto server = must(
      rpc::Server::start({.tls = context, .role = "abuse"}, test_support::abuse_operations(counts)),
      "server");
  fmt::print("port {}\n", server->port());
  std::fflush(stdout);
  int number = 0;
  sigwait(&signals, &number);
  server->stop();
  return 0;
}

// Burns `percent` of a core at the attacker's priority until SIGTERM ends it.
int burn(int percent) {
  rpc_abuse::be_idle();
  for (;;) {
    const auto begin = Steady::now();
    while (Steady::now() - begin < std::chrono::milliseconds(percent) / 10) {
    }
    (void)::poll(nullptr, 0, (100 - percent) / 10);
  }
}

// Honest calls of a phase.
struct Tally {
  std::vector<double> micros;  // on a connection that was there
  std::vector<double> dialled;
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  std::uint64_t baits = 0;
  std::string first_failure;
};

class Honest {
 public:
  Honest(std::uint16_t port, std::shared_ptr<tls::ReloadableContext> context)
      : port_(port), context_(std::move(context)) {
    for (int i = 0; i < kCallers; ++i)
      threads_.emplace_back([this] { caller_main(); });
  }
  ~Honest() {
    {
      MutexLock lock(stop_mutex_);
      stop_ = true;
      stop_cv_.notify_all();
    }
    for (auto& thread : threads_)
      thread.join();
  }
  // What happened since the last look.
  Tally take() { return std::exchange(*tally_.lock(), {}); }

 private:
  void caller_main() {
    rpc::Client client({.host = "127.0.0.1", .port = port_, .tls = context_});
    for (int n = 1; !stop_; ++n) {
      const bool dials = n % kCallsPerConnection == 0;
      if (dials)
        client.disconnect();
      const auto begin = Steady::now();
      const auto result = client.call({.service = "abuse", .operation = "count"});
      const std::chrono::duration<double, std::micro> took = Steady::now() - begin;
      {
        auto tally = tally_.lock();
        ++tally->calls;
        (dials ? tally->dialled : tally->micros).push_back(took.count());
        if (!result.answer) {
          ++tally->failures;
          if (tally->first_failure.empty())
            tally->first_failure = result.answer.error().message;
        } else {
          tally->baits = result.answer->result().value("baits", std::uint64_t{1});
        }
      }
      MutexLock lock(stop_mutex_);
      if (!stop_)
        stop_cv_.wait_for(stop_mutex_, kCallPause);
    }
  }

  std::uint16_t port_;
  std::shared_ptr<tls::ReloadableContext> context_;
  Mutex stop_mutex_;
  CondVar stop_cv_;
  std::atomic<bool> stop_{false};
  Locked<Tally> tally_;
  std::vector<std::thread> threads_;
};

// In milliseconds.
double percentile(std::vector<double> micros, std::size_t percent) {
  if (micros.empty())
    return 0;
  std::sort(micros.begin(), micros.end());
  return micros[micros.size() * percent / 100] / 1000;
}

struct Tails {
  double calls_p99 = 0;
  double dials_p90 = 0;
};
Tails tails_of(const Tally& tally) {
  return {percentile(tally.micros, 99), percentile(tally.dialled, 90)};
}
Tails worse_of(const Tails& a, const Tails& b) {
  return {std::max(a.calls_p99, b.calls_p99), std::max(a.dials_p90, b.dials_p90)};
}

double rss_mib(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

// Lets a phase run: waits for the end of the process, which must not come.
void watch_for(pid_t server, std::chrono::milliseconds time) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, server, 0)));
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  if (!process.valid() || ::poll(&ended, 1, static_cast<int>(time.count())) > 0)
    die("the server died");
}

struct Totals {
  std::uint64_t attacks = 0;
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  std::uint64_t rows = 0;
  double cpu = 0;
  std::uint64_t most_held = 0;
  double least_dials = 1e9;
  std::vector<std::string> violations;

  void violation(std::string what) {
    fmt::print(stderr, "VIOLATION: {}\n", what);
    violations.push_back(std::move(what));
  }
  // Every phase's honest calls must succeed and find no bait executed.
  Tails take(const char* phase, const Tally& tally) {
    calls += tally.calls;
    failures += tally.failures;
    const Tails tails = tails_of(tally);
    fmt::print(stderr, "{}: {} honest calls, {} failed, p99 {:.2f} ms; p90 of {} dials {:.2f} ms\n",
               phase, tally.calls, tally.failures, tails.calls_p99, tally.dialled.size(),
               tails.dials_p90);
    if (tally.failures > 0) {
      violation(fmt::format("{}: {} honest calls failed, first: {}", phase, tally.failures,
                            tally.first_failure));
    }
    if (tally.baits > 0)
      violation(fmt::format("{}: {} smuggled calls ran", phase, tally.baits));
    return tails;
  }
};

struct Rig {
  test_support::TestCell cell;
  test_support::CertificateFiles files = cell.issue("server");
  Totals totals;

  Process spawn(std::vector<std::string> arguments) {
    return must(Process::spawn("/proc/self/exe", arguments), arguments[0]);
  }

  // The attack from so many addresses; adds the attacker's CPU.
  Tails attack(pid_t server, std::uint16_t port, Honest& honest, int addresses,
               std::chrono::milliseconds time) {
    auto flood = spawn({"--flood", std::to_string(port), cell.ca(), std::to_string(addresses)});
    watch_for(server, time);
    const std::string phase = fmt::format("attack from {} addresses", addresses);
    const Tails tails = totals.take(phase.c_str(), honest.take());
    must(flood.signal(SIGTERM), "flood");
    const auto line = must(flood.wait_for_line("flood "), "flood");
    std::istringstream fields(line.substr(line.find("flood ") + 6));
    std::uint64_t attempts = 0, handshakes = 0, closed = 0, held = 0, rows = 0, bad_rows = 0;
    double cpu = 0, dials = 0;
    fields >> attempts >> handshakes >> closed >> held >> rows >> bad_rows >> cpu >> dials;
    (void)flood.wait();
    fmt::print(stderr,
               "  {} dials ({:.0f}/s), {} handshakes, {} held at most, {} rows, {:.1f} s CPU\n",
               attempts, dials, handshakes, held, rows, cpu);
    totals.attacks += attempts + rows;
    totals.rows += rows;
    totals.cpu += cpu;
    totals.most_held = std::max(totals.most_held, held);
    totals.least_dials = std::min(totals.least_dials, dials);
    if (bad_rows > 0)
      totals.violation(fmt::format("{} rows were not refused as they must", bad_rows));
    return tails;
  }

  // Streams of 1 GB; returns by how much the server grew meanwhile.
  double giants(pid_t server, std::uint16_t port, nlohmann::json& sent) {
    const double before = rss_mib(server);
    double peak = before;
    auto giant = spawn({"--giant", std::to_string(port), cell.ca()});
    const auto give_up = Steady::now() + 300s;
    while (giant.running() && Steady::now() < give_up) {
      peak = std::max(peak, rss_mib(server));
      watch_for(server, 20ms);
    }
    for (const char* name : {"header", "chunks", "refused_body", "body"}) {
      const auto line = must(giant.wait_for_line(fmt::format("giant {} ", name)), name);
      std::istringstream fields(line.substr(line.find(name) + std::strlen(name)));
      std::uint64_t bytes = 0, cuts = 0;
      double cpu = 0;
      fields >> bytes >> cuts >> cpu;
      fmt::print(stderr, "  {}: {} MB sent, cut {} times\n", name, bytes / 1'000'000, cuts);
      sent[name] = {{"bytes", bytes}, {"cut", cuts}};
      totals.cpu += cpu;
      totals.attacks += cuts + 1;
      if (bytes < rpc_abuse::kGigabyte)
        totals.violation(fmt::format("no 1 GB of {} could be sent", name));
    }
    return peak - before;
  }
};

int run(int seconds) {
  Rig rig;
  auto server = rig.spawn({"--serve", rig.files.certificate, rig.files.key, rig.cell.ca()});
  const std::string line = must(server.wait_for_line("port "), "server");
  const auto port = static_cast<std::uint16_t>(std::atoi(line.c_str() + line.find("port ") + 5));
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] { return tls::make_client({.ca = rig.cell.ca()}); }),
           "client context");
  Totals& totals = rig.totals;
  const auto part = [seconds](int percent) {
    return std::chrono::milliseconds(seconds * 10 * percent);
  };

  auto honest = std::make_unique<Honest>(port, context);
  watch_for(server.pid(), 500ms);
  (void)honest->take();  // the first calls dial and warm up
  Tally all_quiet;
  const auto quiet_part = [&] {
    watch_for(server.pid(), part(12));
    const Tally tally = honest->take();
    all_quiet.micros.insert(all_quiet.micros.end(), tally.micros.begin(), tally.micros.end());
    all_quiet.dialled.insert(all_quiet.dialled.end(), tally.dialled.begin(), tally.dialled.end());
    totals.take("quiet", tally);
  };
  quiet_part();
  const Tails one = rig.attack(server.pid(), port, *honest, 1, part(25));
  watch_for(server.pid(), 500ms);  // the attacker's connections end
  (void)honest->take();
  quiet_part();
  const double cpu_before = totals.cpu;
  const Tails many = rig.attack(server.pid(), port, *honest, 64, part(25));
  const double share = (totals.cpu - cpu_before) / std::chrono::duration<double>(part(25)).count();
  watch_for(server.pid(), 500ms);
  (void)honest->take();
  quiet_part();

  const int percent = std::clamp(static_cast<int>(share * 100), 1, 100);
  double burnt = 0;
  {
    auto burner = rig.spawn({"--burn", std::to_string(percent)});
    watch_for(server.pid(), part(12));
    const std::string phase = fmt::format("{} % of a core burnt", percent);
    burnt = totals.take(phase.c_str(), honest->take()).calls_p99;
    burner.kill();
  }
  nlohmann::json giants;
  const double growth = rig.giants(server.pid(), port, giants);
  totals.take("streams of 1 GB", honest->take());
  honest.reset();

  const Tails worst = worse_of(one, many);
  const Tails quiet = tails_of(all_quiet);
  const double ratio = worst.calls_p99 / quiet.calls_p99;
  if (ratio > kMaxRatio)
    totals.violation(fmt::format("p99 grew {:.2f} times", ratio));
  const double dial_ratio = worst.dials_p90 / quiet.dials_p90;
  if (dial_ratio > kMaxRatio)
    totals.violation(fmt::format("p90 of calls that dial grew {:.2f} times", dial_ratio));
  if (growth > kMaxGrowthMib)
    totals.violation(fmt::format("the server grew {:.1f} MiB", growth));
  if (totals.least_dials < kMinDials) {
    totals.violation(fmt::format("only {:.0f} dials a second: no attack", totals.least_dials));
  }
  if (!server.running())
    totals.violation("the server died");
  const nlohmann::json report = {
      {"attacks", totals.attacks},
      {"rows_tried", totals.rows},
      {"attack_cpu_s", totals.cpu},
      {"attack_connections_held", totals.most_held},
      {"attack_dials_per_s", totals.least_dials},
      {"honest_calls", totals.calls},
      {"honest_failures", totals.failures},
      {"p99_ratio", ratio},
      {"p99_ratio_burnt", worst.calls_p99 / burnt},
      {"p99_quiet_ms", quiet.calls_p99},
      {"p99_burnt_ms", burnt},
      {"p99_attack_1_ms", one.calls_p99},
      {"p99_attack_64_ms", many.calls_p99},
      {"dial_p90_ratio", dial_ratio},
      {"dial_p90_quiet_ms", quiet.dials_p90},
      {"dial_p90_attack_ms", worst.dials_p90},
      {"giants", giants},
      {"rss_growth_MiB", growth},
      {"violations", totals.violations.size()},
      {"violation_list", totals.violations},
  };
  fmt::print("{}\n", report.dump());
  return totals.violations.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  // A part of a soak that is killed does not go on alone.
  if (!args.empty() && args[0] != "--seconds" && args[0] != "--seed")
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (args.size() == 4 && args[0] == "--serve")
    return serve(args[1], args[2], args[3]);
  const auto port_of = [&](std::size_t i) {
    return static_cast<std::uint16_t>(std::atoi(args[i].c_str()));
  };
  if (args.size() == 4 && args[0] == "--flood") {
    return rpc_abuse::flood_main(port_of(1), args[2], std::atoi(args[3].c_str()));
  }
  if (args.size() == 3 && args[0] == "--giant")
    return rpc_abuse::giant_main(port_of(1), args[2]);
  if (args.size() == 2 && args[0] == "--burn")
    return burn(std::atoi(args[1].c_str()));
  int seconds = 60;
  for (std::size_t i = 0; i < args.size(); i += 2) {
    if (i + 1 < args.size() && args[i] == "--seconds") {
      seconds = std::max(std::atoi(args[i + 1].c_str()), 5);
    } else if (i + 1 >= args.size() || args[i] != "--seed") {  // nothing here is drawn by lot
      fmt::print(stderr, "usage: soak_rpc_abuse [--seconds N] [--seed S]\n");
      return 2;
    }
  }
  return run(seconds);
}
