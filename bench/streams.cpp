// bench_streams: what ten thousand idle streams cost one server process.
//
//   bench_streams [--json] [--streams N] [--runs N] [--idle-seconds N]
//
// The server is a process of its own (this program with --serve), so that its memory and CPU can be
// read from /proc; all mounts live in one StreamClient of this process, dialling from loopback
// addresses 127.0.1.x. Idle is measured over a whole keep-alive period, so that every stream renews
// its lease once within it.

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "common/rpc/server.hpp"
#include "common/stream/client.hpp"
#include "common/stream/server.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/process.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/test_cell.hpp"

namespace {

using namespace common;
using namespace std::chrono_literals;
using test_support::Process;

constexpr double kKibLimit = 20.0;
constexpr double kIdleCpuLimit = 1.0;
constexpr int kRpcConnections = 1'000;
constexpr int kAddresses = 40;
constexpr auto kPatience = 120s;

struct Options {
  bool json = false;
  int streams = 10'000;
  int runs = 5;
  int idle_seconds = 30;
};

[[noreturn]] void die(const std::string& why) {
  fmt::print(stderr, "bench_streams: {}\n", why);
  std::exit(1);
}
template <typename T>
T must(Result<T> result, std::string_view what) {
  if (!result)
    die(fmt::format("{}: {}", what, result.error().message));
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

void raise_descriptor_limit() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

// ---- the server process ----

struct Acceptor final : stream::ServerHandler {
  Status on_hello(stream::StreamId, const stream::PeerInfo&, stream::BytesView) override {
    return {};
  }
};

// Certificate, key, CA are paths. Prints its ports, then pushes 100 bytes to all at each SIGUSR1.
int serve(const std::string& certificate, const std::string& key, const std::string& ca) {
  raise_descriptor_limit();
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGUSR1, SIGTERM})
    sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  SystemClock clock;
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] {
             return tls::make_server({.certificate = certificate, .key = key, .ca = ca});
           }),
           "server context");
  Acceptor acceptor;
  auto streams = must(stream::StreamServer::start({.tls = context}, acceptor, clock), "streams");
  rpc::ServerOptions options{.tls = context, .role = "bench"};
  options.limits.idle = 600s;  // idle connections are what is measured
  auto calls = must(rpc::Server::start(std::move(options), {}), "rpc server");
  fmt::print("ports {} {}\n", streams->port(), calls->port());
  std::fflush(stdout);
  const stream::Bytes notice(100, std::byte{'n'});
  for (int number = 0; sigwait(&signals, &number) == 0 && number == SIGUSR1;) {
    must(streams->broadcast(notice), "broadcast");
  }
  streams->stop();
  return 0;
}

// ---- this process ----

class Mounts final : public stream::ClientHandler {
 public:
  void on_open(stream::StreamId, std::uint64_t, Instant) override { count(open_); }
  void on_message(stream::StreamId, stream::BytesView) override { count(messages_); }
  void on_close(stream::StreamId, const stream::CloseInfo& close) override {
    if (count(closed_) == 1)
      fmt::print(stderr, "a stream closed: {}\n", close.error.message);
  }

  // Waits until as many streams were opened, or messages received, in all.
  bool wait_open(long n) { return wait(open_, n); }
  bool wait_messages(long n) { return wait(messages_, n); }
  long closed() {
    MutexLock lock(mutex_);
    return closed_;
  }

 private:
  long count(long& what) {
    MutexLock lock(mutex_);
    ++what;
    changed_.notify_all();
    return what;
  }
  bool wait(const long& what, long n) {
    MutexLock lock(mutex_);
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    while (what < n && std::chrono::steady_clock::now() < give_up) {
      changed_.wait_for(mutex_, 100ms);
    }
    return what >= n;
  }

  Mutex mutex_;
  CondVar changed_;
  long open_ = 0;
  long messages_ = 0;
  long closed_ = 0;
};

double rss_kib(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024;
}

// User and system time of a process.
double cpu_seconds(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  text.erase(0, text.rfind(')') + 2);  // the name may hold anything
  std::istringstream fields(text);
  std::string skipped;
  for (int i = 0; i < 11; ++i)
    fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Percent of one core that the process uses while nothing is asked of it.
double idle_percent(pid_t pid, int seconds) {
  const double before = cpu_seconds(pid);
  const auto begin = std::chrono::steady_clock::now();
  ::usleep(static_cast<useconds_t>(seconds) * 1'000'000);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return 100 * (cpu_seconds(pid) - before) / took.count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

struct Figures {
  std::vector<double> kib, idle, push, handshakes, rpc_idle;
};

struct Servers {
  Process process;
  std::uint16_t stream_port;
  std::uint16_t rpc_port;
};

Servers start_server(const test_support::TestCell& cell,
                     const test_support::CertificateFiles& files) {
  auto process =
      must(Process::spawn("/proc/self/exe", {"--serve", files.certificate, files.key, cell.ca()}),
           "server process");
  const std::string line = must(process.wait_for_line("ports "), "server process");
  unsigned streams = 0;
  unsigned calls = 0;
  if (std::sscanf(line.c_str() + line.find("ports"), "ports %u %u", &streams, &calls) != 2) {
    die("server process: " + line);
  }
  return {std::move(process), static_cast<std::uint16_t>(streams),
          static_cast<std::uint16_t>(calls)};
}

void measure_streams(const Options& options, const test_support::TestCell& cell,
                     const test_support::CertificateFiles& files,
                     std::shared_ptr<tls::ReloadableContext> context, Figures& figures) {
  Servers server = start_server(cell, files);
  const pid_t pid = server.process.pid();
  const double empty_kib = rss_kib(pid);
  SystemClock clock;
  Mounts mounts;
  auto client =
      must(stream::StreamClient::start({.tls = std::move(context),
                                        .dials_at_once = 100,
                                        .streams = static_cast<std::size_t>(options.streams)},
                                       mounts, clock),
           "client");
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < options.streams; ++i) {
    must(client->dial({.address = "127.0.0.1",
                       .port = server.stream_port,
                       .from_address = fmt::format("127.0.1.{}", 1 + i % kAddresses)}),
         "dial");
  }
  if (!mounts.wait_open(options.streams))
    die("not all streams were opened");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  figures.handshakes.push_back(options.streams / took.count());
  fmt::print(stderr, "{} streams open after {:.1f} s\n", options.streams, took.count());

  figures.idle.push_back(idle_percent(pid, options.idle_seconds));
  figures.kib.push_back((rss_kib(pid) - empty_kib) / options.streams);
  fmt::print(stderr, "{:.1f} KiB a stream, idle {:.2f} % of a core\n", figures.kib.back(),
             figures.idle.back());
  for (long round = 1; round <= 5; ++round) {
    const auto pushed = std::chrono::steady_clock::now();
    must(server.process.signal(SIGUSR1), "push");
    if (!mounts.wait_messages(round * options.streams))
      die("not all streams got the push");
    const std::chrono::duration<double, std::milli> push =
        std::chrono::steady_clock::now() - pushed;
    figures.push.push_back(push.count());
  }
  fmt::print(stderr, "push to all: {:.0f} ms\n", figures.push.back());
  if (mounts.closed() != 0)
    die(fmt::format("{} streams broke", mounts.closed()));
  client->stop();
}

// Connections of the call server that made no call yet, and one that did.
void measure_calls(const Options& options, const test_support::TestCell& cell,
                   const test_support::CertificateFiles& files,
                   const std::shared_ptr<tls::ReloadableContext>& context, Figures& figures) {
  Servers server = start_server(cell, files);
  std::vector<test_support::RawPeer> peers;
  for (int i = 0; i < kRpcConnections; ++i) {
    auto peer = must(test_support::RawPeer::dial_tls(server.rpc_port, context->current(),
                                                     fmt::format("127.0.2.{}", 1 + i % 40)),
                     "dial");
    must(peer.send("POST /v1/bench/status HTTP/1.1\r\nHost: b\r\nContent-Type: "
                   "application/json\r\nContent-Length: 7\r\n\r\n{\"v\":1}"),
         "call");
    const std::string reply = must(peer.read_reply(), "call");
    if (reply.find("200 OK") == std::string::npos)
      die("call: " + reply);
    peers.push_back(std::move(peer));
  }
  for (int run = 0; run < options.runs; ++run) {
    figures.rpc_idle.push_back(idle_percent(server.process.pid(), 3));
  }
  fmt::print(stderr, "{} idle connections of the call server: {:.2f} % of a core\n",
             kRpcConnections, median(figures.rpc_idle));
}

int run(const Options& options) {
  raise_descriptor_limit();
  const test_support::TestCell cell;
  const auto files = cell.issue("server");
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] { return tls::make_client({.ca = cell.ca()}); }),
           "client context");
  Figures figures;
  for (int i = 0; i < options.runs; ++i)
    measure_streams(options, cell, files, context, figures);
  measure_calls(options, cell, files, context, figures);
  const double kib = median(figures.kib);
  const double idle = median(figures.idle);
  fmt::print(
      "{{\"streams\":{},\"runs\":{},\"KiB_per_stream\":{:.2f},\"KiB_per_stream_limit\":{:.0f},"
      "\"idle_cpu_percent\":{:.3f},\"idle_cpu_percent_limit\":{:.0f},\"idle_seconds\":{},"
      "\"push_all_ms\":{:.1f},\"handshakes_per_s\":{:.0f},\"rpc_idle_cpu_percent_1000\":{:.3f},"
      "\"within_limits\":{}}}\n",
      options.streams, options.runs, kib, kKibLimit, idle, kIdleCpuLimit, options.idle_seconds,
      median(figures.push), median(figures.handshakes), median(figures.rpc_idle),
      kib <= kKibLimit && idle <= kIdleCpuLimit);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 4 && args[0] == "--serve")
    return serve(args[1], args[2], args[3]);
  Options options;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto number = [&] { return i + 1 < args.size() ? std::atoi(args[++i].c_str()) : 0; };
    if (args[i] == "--json") {
      options.json = true;
    } else if (args[i] == "--streams") {
      options.streams = std::max(number(), 1);
    } else if (args[i] == "--runs") {
      options.runs = std::max(number(), 1);
    } else if (args[i] == "--idle-seconds") {
      options.idle_seconds = std::max(number(), 1);
    } else {
      fmt::print(stderr,
                 "usage: bench_streams [--json] [--streams N] [--runs N] [--idle-seconds N]\n");
      return 2;
    }
  }
  return run(options);
}
