// bench_kdc_exchanges: what single exchanges with the KDC cost, for docs/beside-mit-kerberos.md.
//
// AS with a key (no password, so no scrypt at the client) and TGS, by one and by two clients, over
// connections that are kept and over a new TLS connection for each. Server and clients share this
// process; what the clients' threads used is told apart. Every answer waits for its audit record.
// Figures are medians of kRounds rounds, in which all combinations take turns.

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/ticket/exchange.hpp"
#include "tests/support/kdc_server.hpp"

namespace {

using common::Instant;
using test_support::in_a_while;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace auth = common::auth;
namespace ticket = common::ticket;

constexpr int kRounds = 7;
constexpr double kSeconds = 1;
// Each may have 10,000 tickets at once: enough that no round meets that limit.
constexpr int kHosts = 48;
constexpr std::string_view kService = "fileserver/fs1";

template <typename T>
T take(const char* what, common::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s: %s\n", what, result.error().message.c_str());
    std::exit(1);
  }
  return *std::move(result);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double cpu_us(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

struct Rate {
  double per_s = 0;
  double kdc_us = 0;     // CPU of one exchange, at the server
  double client_us = 0;  // at its client
};

using Exchange = std::function<void()>;

// Exchanges by that many threads, each with one of its own.
Rate rate(int threads, const std::function<Exchange()>& make) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> done{0};
  std::atomic<double> client_us{0};
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&] {
      const Exchange exchange = make();
      exchange();
      ++ready;
      go.wait(false);
      const double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
      while (!stop) {
        exchange();
        ++done;
      }
      client_us.fetch_add(cpu_us(CLOCK_THREAD_CPUTIME_ID) - before);
    });
  }
  while (ready < threads)
    std::this_thread::yield();
  const common::SystemClock clock;
  const Instant begin = clock.now();
  const double before = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
  go = true;
  go.notify_all();
  std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
  stop = true;
  for (std::thread& thread : running)
    thread.join();
  const double all_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - before;
  const auto exchanges = static_cast<double>(done);
  return {.per_s = exchanges / std::chrono::duration<double>(clock.now() - begin).count(),
          .kdc_us = (all_us - client_us) / exchanges,
          .client_us = client_us / exchanges};
}

struct Host {
  ticket::Keytab keytab;
  ticket::Credential tgt;
};

// ---- the four exchanges

common::Bytes ask(common::rpc::Client& client, const char* operation,
                  const common::Bytes& request) {
  common::rpc::Request call;
  call.service = "kdc";
  call.operation = operation;
  call.bytes = request;
  call.deadline = in_a_while();
  return take(operation, client.call(call).answer).bytes;
}

struct Door {
  std::shared_ptr<common::rpc::Client> client;
  ticket::Channel channel{};
};

Door open(const KdcServer& server) {
  std::shared_ptr<common::rpc::Client> client = server.stranger();
  if (const auto connected = client->connect(in_a_while()); !connected) {
    std::fprintf(stderr, "connect: %s\n", connected.error().message.c_str());
    std::exit(1);
  }
  return {.client = client, .channel = take("channel", client->channel_binding())};
}

Exchange as_kept(const KdcServer& server, const Host& host) {
  return [door = open(server), &host] {
    const auto& key = *host.keytab.newest();
    ticket::AsWanted wanted;
    wanted.cell = host.keytab.cell();
    wanted.client = host.keytab.principal();
    wanted.client_kvno = key.kvno;
    const auto request = take("begin_as", ticket::begin_as(wanted, key.key, door.channel));
    const auto reply = ask(*door.client, "as", request);
    take("finish_as",
         ticket::finish_as(wanted, key.key, request, reply, common::SystemClock().now()));
  };
}

Exchange as_new(const KdcServer& server, const Host& host) {
  return [client = server.client(), &host] {
    take("AS", client.login({}, host.keytab, in_a_while()));
  };
}

Exchange tgs_kept(const KdcServer& server, const Host& host) {
  return [door = open(server), &host] {
    const ticket::TgsWanted wanted{.service = std::string(kService)};
    const auto request = take("begin_tgs", ticket::begin_tgs(wanted, host.tgt, door.channel));
    const auto reply = ask(*door.client, "tgs", request);
    take("finish_tgs",
         ticket::finish_tgs(wanted, host.tgt, request, reply, common::SystemClock().now()));
  };
}

Exchange tgs_new(const KdcServer& server, const Host& host) {
  return [client = server.client(), &host] {
    take("TGS", client.ticket({.service = std::string(kService)}, host.tgt, in_a_while()));
  };
}

std::vector<Host> make_hosts(KdcServer& server) {
  const auto admin = server.admin("root", KdcFiles::kRootPassword);
  std::vector<Host> hosts;
  for (int i = 0; i < kHosts; ++i) {
    const std::string name = "host/bench" + std::to_string(i);
    admin->must("service-add", {{"name", name}});
    const auto file = take("keytab", admin->call("service-keytab", {{"name", name}}));
    ticket::Keytab keytab = take("keytab", ticket::decode_keytab(file.bytes));
    ticket::Credential tgt = take("login", server.client().login({}, keytab, in_a_while()));
    hosts.push_back({.keytab = std::move(keytab), .tgt = std::move(tgt)});
  }
  return hosts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 || (argc == 2 && std::string_view(argv[1]) != "--json")) {
    std::fprintf(stderr, "usage: bench_kdc_exchanges [--json]\n");
    return 2;
  }
  KdcServer server;
  const std::vector<Host> hosts = make_hosts(server);
  struct Kind {
    const char* name;
    Exchange (*make)(const KdcServer&, const Host&);
  };
  constexpr Kind kKinds[] = {
      {"as_kept", as_kept}, {"as_new", as_new}, {"tgs_kept", tgs_kept}, {"tgs_new", tgs_new}};
  std::atomic<std::size_t> next{0};
  std::map<std::string, std::vector<Rate>> seen;
  for (int round = 0; round < kRounds; ++round) {
    for (const Kind& kind : kKinds) {
      for (const int clients : {1, 2}) {
        const auto make = [&] { return kind.make(server, hosts[next++ % hosts.size()]); };
        const std::string name = std::string(kind.name) + "_" + std::to_string(clients);
        seen[name].push_back(rate(clients, make));
        std::fprintf(stderr, "round %d: %s %.0f/s\n", round + 1, name.c_str(),
                     seen[name].back().per_s);
      }
    }
  }
  nlohmann::json report = {{"rounds", kRounds}};
  for (const auto& [name, rates] : seen) {
    const auto middle = [&rates = rates](double Rate::*field) {
      std::vector<double> values;
      for (const Rate& one : rates)
        values.push_back(one.*field);
      return median(values);
    };
    report[name] = {{"per_s", middle(&Rate::per_s)},
                    {"kdc_us", middle(&Rate::kdc_us)},
                    {"client_us", middle(&Rate::client_us)}};
  }
  std::printf("%s\n", report.dump().c_str());
  return 0;
}
