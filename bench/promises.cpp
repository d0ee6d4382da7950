// bench_promises: what promises cost a file server, and what they cost those who wait for them.
//
//   bench_promises [--json] [--rounds N] [--sessions N] [--promises N]
//                  [--mib N] [--only memory|sessions|breaks|calls|contents]
//
// Server and clients are processes of their own, with TLS and tickets; the KDC lives with the
// clients. Figures are medians over the rounds, ratios the median of the rounds' own.

#include <fmt/core.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include <nlohmann/json.hpp>

#include "bench/promises_run.hpp"

namespace bench {
namespace {

using namespace common;
using namespace std::chrono_literals;
using nlohmann::json;
using test_support::KdcFiles;
using test_support::KdcServer;

struct Options {
  int rounds = 5;
  int sessions = 10'000;
  int promises = 1'000'000;
  int mib = 1'024;   // of a large file
  std::string only;  // one part

  [[nodiscard]] bool wants(std::string_view part) const { return only.empty() || only == part; }
};

constexpr auto kLoad = 1s;
// What one call revalidates.
constexpr int kAtOnce = 10'000;

double percentile_99(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() * 99 / 100];
}

// --- memory ---

double idle_session_kib(const KdcServer& kdc, const auth::CredentialPtr& ticket, int sessions) {
  Server server(kdc, ticket, 10);
  Mounts mounts(server.target);
  // What the first ones bring about is not theirs.
  mounts.open(100);
  server.stats();
  const double before = server.rss_bytes();
  mounts.open(sessions);
  server.stats();
  const double each = (server.rss_bytes() - before) / sessions;
  std::fprintf(stderr, "promises: %d sessions, %.1f KiB each\n", sessions, each / 1024);
  return each / 1024;
}

// In many sessions, as they are: each trusts a hundred thousand files.
void promises_in_memory(const KdcServer& kdc, const auth::CredentialPtr& ticket, int promises,
                        nlohmann::ordered_json& report) {
  constexpr int kFiles = 100'000;
  const int sessions = std::max(2, promises / kFiles);
  Server server(kdc, ticket, kFiles);
  Mounts mounts(server.target);
  mounts.open(sessions);
  const auto client = server.target.client();
  const auto ask_all = [&] {
    for (int first = 0; first < kFiles; first += kAtOnce) {
      json nodes = json::array();
      for (int i = first; i < first + kAtOnce; ++i)
        nodes.push_back({server.fid(i), 2});
      call(*client, "revalidate", json{{"nodes", nodes}}.dump());
    }
  };
  // The first twice: what answering costs is not the promises'.
  const auto join_and_ask = [&](int session) {
    mounts.join(*client, static_cast<std::size_t>(session));
    ask_all();
  };
  join_and_ask(0);
  join_and_ask(0);
  const Server::Stats first = server.stats();
  const double before = server.rss_bytes();
  for (int i = 1; i < sessions; ++i)
    join_and_ask(i);
  const Server::Stats all = server.stats();
  if (all.promises < promises * 0.99)
    die(fmt::format("only {} of {} promises were given", all.promises, promises));
  report["promises"] = all.promises;
  report["bytes_per_promise"] = all.bytes / all.promises;
  report["rss_bytes_per_promise"] = (server.rss_bytes() - before) / (all.promises - first.promises);
  std::fprintf(stderr, "promises: %.0f at %.1f bytes\n", all.promises, all.bytes / all.promises);
}

// --- what a writer waits for ---

class Writer {
 public:
  explicit Writer(Server& server) : server_(server), client_(server.target.client()) {}

  // Milliseconds of one change of a file.
  double change(int file) {
    // Times as numbers, as callers without a session have them.
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        SystemClock().wall_now().time_since_epoch());
    constexpr unsigned kBits = 20;
    number_ = std::max(number_ + 1, static_cast<std::uint64_t>(now.count()) << kBits);
    const json args{{"fid", server_.fid(file)}, {"mode", number_ % 2 == 0 ? 0666 : 0644}};
    std::string text = args.dump();
    const auto begin = std::chrono::steady_clock::now();
    call(*client_, "setattr", std::move(text), {0, number_});
    return seconds_since(begin) * 1e3;
  }
  std::vector<double> changes(int file, int count) {
    std::vector<double> all;
    all.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i)
      all.push_back(change(file));
    return all;
  }

 private:
  Server& server_;
  std::unique_ptr<rpc::Client> client_;
  std::uint64_t number_ = 0;
};

void breaks(const KdcServer& kdc, const auth::CredentialPtr& ticket, int rounds,
            nlohmann::ordered_json& report) {
  Server server(kdc, ticket, 10);
  Mounts mounts(server.target);
  mounts.open(1'000);
  Writer writer(server);
  constexpr int kBare = 9;  // nobody is promised this file
  struct Case {
    int holders;
    int changes;
  };
  constexpr Case kCases[] = {{1, 500}, {100, 200}, {1'000, 100}};
  writer.changes(kBare, 200);
  const auto client = server.target.client();
  int file = 0;
  for (const auto& [holders, changes] : kCases) {
    ++file;
    for (int i = 0; i < holders; ++i) {
      mounts.join(*client, static_cast<std::size_t>(i));
      call(*client, "getattr", json{{"fids", json::array({server.fid(file)})}}.dump());
    }
    std::vector<double> p50s;
    std::vector<double> p99s;
    for (int round = 0; round < rounds; ++round) {
      const double bare = median(writer.changes(kBare, 200));
      const std::uint64_t before = mounts.breaks();
      const auto waited = writer.changes(file, changes);
      // Who was asked is promised it anew with the update that tells him, so all are asked again.
      const auto asked = static_cast<double>(mounts.breaks() - before);
      if (asked < 0.95 * holders * changes)
        die(fmt::format("only {} breaks reached {} holders of {} changes", asked, holders,
                        changes));
      p50s.push_back(median(waited) - bare);
      p99s.push_back(percentile_99(waited) - bare);
    }
    report[fmt::format("break_{}_ms_p50", holders)] = median(p50s);
    report[fmt::format("break_{}_ms_p99", holders)] = median(p99s);
    std::fprintf(stderr, "promises: %d holders: p50 %.2f ms, p99 %.2f ms\n", holders, median(p50s),
                 median(p99s));
  }
}

// --- calls ---

double calls_per_s(const Server& server, Mounts& mounts, int callers, std::string_view operation,
                   const std::string& args) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> calls{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&, i] {
      const auto client = server.target.client();
      mounts.join(*client, static_cast<std::size_t>(i));
      for (int warm = 0; warm < 50; ++warm)
        call(*client, operation, args);
      ++ready;
      while (!go)
        std::this_thread::yield();
      std::uint64_t mine = 0;
      for (; !stop.load(std::memory_order_relaxed); ++mine)
        call(*client, operation, args);
      calls += mine;
    });
  }
  while (ready < callers)
    std::this_thread::yield();
  const auto begin = std::chrono::steady_clock::now();
  go = true;
  std::this_thread::sleep_for(kLoad);
  stop = true;
  for (auto& thread : threads)
    thread.join();
  return static_cast<double>(calls) / seconds_since(begin);
}

void throughput(const KdcServer& kdc, const auth::CredentialPtr& ticket, int rounds,
                nlohmann::ordered_json& report) {
  Server server(kdc, ticket, 10);
  Mounts mounts(server.target);
  mounts.open(16);
  const std::string getattr = json{{"fids", json::array({server.fid(1)})}}.dump();
  for (const int callers : {1, 16}) {
    std::vector<double> looks;
    std::vector<double> bare;
    std::vector<double> ratios;
    std::vector<double> alike;
    std::vector<double> alike_ratios;
    for (int round = 0; round < rounds; ++round) {
      const auto measure = [&](std::string_view operation, const std::string& args,
                               std::vector<double>& into) {
        into.push_back(calls_per_s(server, mounts, callers, operation, args));
      };
      if (round % 2 == 0)
        measure("getattr", getattr, looks);
      measure("empty", "{}", bare);
      measure("bare", getattr, alike);
      if (round % 2 != 0)
        measure("getattr", getattr, looks);
      ratios.push_back(looks.back() / bare.back());
      alike_ratios.push_back(looks.back() / alike.back());
    }
    report[fmt::format("getattr_per_s_{}", callers)] = median(looks);
    report[fmt::format("empty_per_s_{}", callers)] = median(bare);
    report[fmt::format("getattr_vs_bare_{}", callers)] = median(ratios);
    report[fmt::format("getattr_vs_same_answer_{}", callers)] = median(alike_ratios);
    std::fprintf(stderr, "promises: %d callers: getattr %.0f/s, %.2f of an empty call\n", callers,
                 median(looks), median(ratios));
  }
}

int drive(const Options& options) {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  const KdcServer kdc;
  const auto tgt = must(kdc.login("root", KdcFiles::kRootPassword), "login");
  const auto ticket =
      std::make_shared<const ticket::Credential>(must(kdc.ticket(tgt, kService), "a ticket"));
  nlohmann::ordered_json report;
  if (options.wants("memory"))
    promises_in_memory(kdc, ticket, options.promises, report);
  if (options.wants("sessions")) {
    report["sessions"] = options.sessions;
    report["idle_session_KiB"] = idle_session_kib(kdc, ticket, options.sessions);
  }
  if (options.wants("breaks"))
    breaks(kdc, ticket, options.rounds, report);
  if (options.wants("calls"))
    throughput(kdc, ticket, options.rounds, report);
  if (options.wants("contents"))
    contents(kdc, ticket, {options.rounds, static_cast<std::uint64_t>(options.mib)}, report);
  report["rounds"] = options.rounds;
  std::printf("%s\n", report.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace bench

namespace {

constexpr const char* kUsage =
    "usage: bench_promises [--json] [--rounds N] [--sessions N] [--promises N] "
    "[--mib N] [--only memory|sessions|breaks|calls|contents]";

}  // namespace

int main(int argc, char** argv) {
  constexpr int kServerArguments = 9;
  if (argc == kServerArguments && std::strcmp(argv[1], "--serve") == 0)
    return bench::serve({argv[2], argv[3], argv[4], argv[5], argv[6], argv[7], std::atoi(argv[8])});
  bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json")
      continue;
    if (i + 1 == argc)
      bench::die(kUsage);
    if (argument == "--only") {
      options.only = argv[++i];
      continue;
    }
    const int value = std::max(1, std::atoi(argv[++i]));
    if (argument == "--rounds")
      options.rounds = value;
    else if (argument == "--sessions")
      options.sessions = value;
    else if (argument == "--promises")
      options.promises = value;
    else if (argument == "--mib")
      options.mib = std::max(64, value / 64 * 64);
    else
      bench::die(kUsage);
  }
  return bench::drive(options);
}
