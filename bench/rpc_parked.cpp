// bench_rpc_parked: what calls that wait for others cost a server.
//
//   bench_rpc_parked [--json] [--calls N] [--runs N]
//
// The server is a process of its own (this program with --serve), so that its memory and threads
// can be read from /proc. N connections make one plain call each and then one that is parked; the
// difference is what parking costs. Then all are woken at once and their replies read. Last, one
// caller's plain calls beside calls that park and are woken by another thread.

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"
#include "common/sync/mutex.hpp"
#include "tests/support/process.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/test_cell.hpp"

namespace {

using namespace common;
using namespace std::chrono_literals;
using test_support::Process;
using test_support::RawPeer;

constexpr int kAddresses = 40;
constexpr int kDialers = 4;
constexpr int kTimedCalls = 5'000;
constexpr auto kPatience = 120s;
using Time = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why) {
  fmt::print(stderr, "bench_rpc_parked: {}\n", why);
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

// Wakes what it is handed, one after the other, like the thread that hears acknowledgements.
class Waker {
 public:
  Waker() : thread_([this] { main(); }) {}
  ~Waker() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void hand_over(std::shared_ptr<rpc::Parked> state) {
    MutexLock lock(mutex_);
    states_.push_back(std::move(state));
    changed_.notify_one();
  }

 private:
  void main() {
    MutexLock lock(mutex_);
    while (!stopping_) {
      if (states_.empty()) {
        changed_.wait_for(mutex_, 1s);
        continue;
      }
      const auto states = std::exchange(states_, {});
      lock.unlock();
      for (const auto& state : states)
        state->wake();
      lock.lock();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::shared_ptr<rpc::Parked>> states_;
  bool stopping_ = false;
  std::thread thread_;
};

int serve(const std::string& certificate, const std::string& key, const std::string& ca) {
  raise_descriptor_limit();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] {
             return tls::make_server({.certificate = certificate, .key = key, .ca = ca});
           }),
           "server context");
  Waker waker;
  Mutex mutex;
  std::vector<std::shared_ptr<rpc::Parked>> waiting;
  rpc::OperationTable operations;
  const auto add = [&](std::string_view name, rpc::Operation::Handler handler) {
    must(operations.add({.service = "b", .name = std::string(name), .handler = std::move(handler)}),
         name);
  };
  add("plain", [](rpc::Call&) -> Result<rpc::Reply> { return rpc::Reply{}; });
  add("wait", [&](rpc::Call& call) -> Result<rpc::Reply> {
    if (call.parked())
      return rpc::Reply{};
    const auto state = std::make_shared<rpc::Parked>();
    {
      MutexLock lock(mutex);
      waiting.push_back(state);
    }
    return call.park(state);
  });
  add("wake-all", [&](rpc::Call&) -> Result<rpc::Reply> {
    std::vector<std::shared_ptr<rpc::Parked>> states;
    {
      MutexLock lock(mutex);
      states.swap(waiting);
    }
    for (const auto& state : states)
      state->wake();
    return rpc::Reply{};
  });
  add("itself", [](rpc::Call& call) -> Result<rpc::Reply> {
    if (call.parked())
      return rpc::Reply{};
    const auto state = std::make_shared<rpc::Parked>();
    state->wake();
    return call.park(state);
  });
  add("other", [&](rpc::Call& call) -> Result<rpc::Reply> {
    if (call.parked())
      return rpc::Reply{};
    const auto state = std::make_shared<rpc::Parked>();
    waker.hand_over(state);
    return call.park(state);
  });
  rpc::ServerOptions options{.tls = context, .role = "bench"};
  options.limits.idle = 600s;
  options.limits.connections = 40'000;
  options.limits.connections_per_address = 1'000;
  options.limits.parked = 20'000;
  auto server = must(rpc::Server::start(std::move(options), operations), "server");
  fmt::print("port {}\n", server->port());
  std::fflush(stdout);
  int number = 0;
  (void)sigwait(&signals, &number);
  return 0;
}

// ---- this process ----

std::string request(std::string_view operation) {
  return fmt::format(
      "POST /v1/b/{} HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: 28"
      "\r\n\r\n{{\"v\":1,\"deadline_ms\":600000}}",
      operation);
}

struct ServerProcess {
  Process process;
  std::uint16_t port;

  [[nodiscard]] double rss_kib() const {
    std::ifstream file(fmt::format("/proc/{}/statm", process.pid()));
    double total = 0;
    double resident = 0;
    file >> total >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024;
  }
  [[nodiscard]] int threads() const {
    std::ifstream file(fmt::format("/proc/{}/status", process.pid()));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("Threads:"))
        return std::atoi(line.c_str() + 8);
    }
    return 0;
  }
};

ServerProcess start_server(const test_support::TestCell& cell,
                           const test_support::CertificateFiles& files) {
  auto process =
      must(Process::spawn("/proc/self/exe", {"--serve", files.certificate, files.key, cell.ca()}),
           "server process");
  const std::string line = must(process.wait_for_line("port "), "server process");
  const int port = std::atoi(line.c_str() + line.find("port ") + 5);
  return {std::move(process), static_cast<std::uint16_t>(port)};
}

struct Figures {
  std::vector<double> bytes, threads, wake_ms, plain_us, itself_us, other_us;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}
double ms_since(Time::time_point begin) {
  return std::chrono::duration<double, std::milli>(Time::now() - begin).count();
}

// Runs `act` for each peer, some threads sharing the work.
template <typename Act>
void for_each(std::vector<std::unique_ptr<RawPeer>>& peers, Act act) {
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kDialers; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < peers.size(); i += kDialers)
        act(i);
    });
  }
  for (auto& thread : threads)
    thread.join();
}

void measure_many(const ServerProcess& server, const tls::ContextPtr& context, int calls,
                  Figures& figures) {
  std::vector<std::unique_ptr<RawPeer>> peers(static_cast<std::size_t>(calls));
  const auto answered = [&](std::size_t i) {
    const std::string reply = must(peers[i]->read_reply(kPatience), "reply");
    if (!reply.starts_with("HTTP/1.1 200"))
      die("reply: " + reply);
  };
  for_each(peers, [&](std::size_t i) {
    auto peer =
        must(RawPeer::dial_tls(server.port, context, fmt::format("127.0.1.{}", 1 + i % kAddresses)),
             "dial");
    peers[i] = std::make_unique<RawPeer>(std::move(peer));
    must(peers[i]->send(request("plain")), "call");
    answered(i);
  });
  fmt::print(stderr, "{} connections\n", calls);
  const double before = server.rss_kib();
  const int threads_before = server.threads();
  for_each(peers, [&](std::size_t i) { must(peers[i]->send(request("wait")), "call"); });
  // One more call behind them all, on a thread-free server, shows that they have arrived.
  auto last = must(RawPeer::dial_tls(server.port, context), "dial");
  must(last.send(request("plain")), "call");
  (void)must(last.read_reply(), "call");
  ::usleep(500'000);
  figures.bytes.push_back((server.rss_kib() - before) * 1024 / calls);
  figures.threads.push_back(server.threads() - threads_before);
  fmt::print(stderr, "{} parked: {:.0f} bytes each, {:+.0f} threads ({})\n", calls,
             figures.bytes.back(), figures.threads.back(), server.threads());
  const auto begin = Time::now();
  must(last.send(request("wake-all")), "wake-all");
  for_each(peers, answered);
  figures.wake_ms.push_back(ms_since(begin));
  fmt::print(stderr, "all woken and answered after {:.0f} ms, {} threads\n", figures.wake_ms.back(),
             server.threads());
}

double us_per_call(rpc::Client& client, std::string_view operation) {
  const auto begin = Time::now();
  for (int i = 0; i < kTimedCalls; ++i) {
    rpc::Request call;
    call.service = "b";
    call.operation = operation;
    call.deadline = rpc::now() + kPatience;
    must(std::move(client.call(call).answer), operation);
  }
  return ms_since(begin) * 1000 / kTimedCalls;
}

int run(int calls, int runs) {
  raise_descriptor_limit();
  const test_support::TestCell cell;
  const auto files = cell.issue("server");
  std::shared_ptr<tls::ReloadableContext> context =
      must(tls::ReloadableContext::make([&] { return tls::make_client({.ca = cell.ca()}); }),
           "client context");
  Figures figures;
  for (int i = 0; i < runs; ++i) {
    const ServerProcess server = start_server(cell, files);
    rpc::Client client({.host = "127.0.0.1", .port = server.port, .tls = context});
    (void)us_per_call(client, "plain");
    figures.plain_us.push_back(us_per_call(client, "plain"));
    figures.itself_us.push_back(us_per_call(client, "itself"));
    figures.other_us.push_back(us_per_call(client, "other"));
    fmt::print(stderr, "a call {:.1f} us, parked and woken by itself {:.1f}, by a thread {:.1f}\n",
               figures.plain_us.back(), figures.itself_us.back(), figures.other_us.back());
    measure_many(server, context->current(), calls, figures);
  }
  fmt::print(
      "{{\"calls\":{},\"runs\":{},\"bytes_per_parked_call\":{:.0f},\"threads_more\":{:.0f},"
      "\"wake_all_ms\":{:.0f},\"plain_us\":{:.1f},\"park_wake_us\":{:.1f},"
      "\"park_wake_by_thread_us\":{:.1f}}}\n",
      calls, runs, median(figures.bytes), median(figures.threads), median(figures.wake_ms),
      median(figures.plain_us), median(figures.itself_us) - median(figures.plain_us),
      median(figures.other_us) - median(figures.plain_us));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 4 && args[0] == "--serve")
    return serve(args[1], args[2], args[3]);
  int calls = 10'000;
  int runs = 5;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto number = [&] { return i + 1 < args.size() ? std::atoi(args[++i].c_str()) : 0; };
    if (args[i] == "--json") {
      continue;  // it is JSON in any case
    } else if (args[i] == "--calls") {
      calls = std::max(number(), 1);
    } else if (args[i] == "--runs") {
      runs = std::max(number(), 1);
    } else {
      fmt::print(stderr, "usage: bench_rpc_parked [--json] [--calls N] [--runs N]\n");
      return 2;
    }
  }
  return run(calls, runs);
}
