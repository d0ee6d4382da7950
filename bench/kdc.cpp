// bench_kdc: how many logins and tickets a KDC gives, and what it costs a service to know who
// calls.
//
// Server and clients share this process and machine, over real TLS connections that are kept open,
// as a day's work goes; every answer waits for its record in the audit log. Figures are medians of
// kRounds rounds; those that are compared with each other alternate.

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/ticket_verify.hpp"
#include "common/auth/authenticate.hpp"
#include "common/auth/session.hpp"
#include "common/ticket/exchange.hpp"
#include "tests/support/kdc_server.hpp"

namespace {

using common::Instant;
using common::crypto::Secret;
using test_support::in_a_while;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace ticket = common::ticket;

constexpr int kRounds = 5;
// Connections that ask at once: more than cores, so that answers share commits.
constexpr int kAskers = 16;
constexpr double kTgsSeconds = 2;
constexpr double kAsSeconds = 3;

[[noreturn]] void die(const char* what, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", what, why.c_str());
  std::exit(1);
}

template <typename T>
T take(const char* what, common::Result<T> result) {
  if (!result)
    die(what, result.error().message);
  return *std::move(result);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double seconds_since(Instant begin) {
  return std::chrono::duration<double>(common::SystemClock().now() - begin).count();
}

// Calls a second by that many threads, each with a function of its own.
double rate(int threads, double seconds, const std::function<std::function<void()>()>& make) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> done{0};
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&] {
      const auto call = make();
      call();
      ++ready;
      while (!go)
        std::this_thread::yield();
      while (!stop) {
        call();
        ++done;
      }
    });
  }
  while (ready < threads)
    std::this_thread::yield();
  const Instant begin = common::SystemClock().now();
  go = true;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (std::thread& thread : running)
    thread.join();
  // The last call of each runs past the end: counted with the time that it took.
  return static_cast<double>(done) / seconds_since(begin);
}

// ---- TGS

// Each asker is somebody else, as on a real day; one alone would soon have had enough tickets.
double tgs_rate(const KdcServer& server, const std::vector<ticket::Credential>& tgts) {
  std::atomic<std::size_t> next{0};
  return rate(kAskers, kTgsSeconds, [&]() -> std::function<void()> {
    const ticket::Credential& tgt = tgts[next++];
    std::shared_ptr<common::rpc::Client> client = server.stranger();
    if (const auto connected = client->connect(in_a_while()); !connected)
      die("connect", connected.error().message);
    const ticket::Channel channel = take("channel", client->channel_binding());
    return [client, channel, &tgt] {
      const ticket::TgsWanted wanted{.service = "fileserver/fs1"};
      const auto request = take("begin_tgs", ticket::begin_tgs(wanted, tgt, channel));
      common::rpc::Request call;
      call.service = "kdc";
      call.operation = "tgs";
      call.bytes = request;
      call.deadline = in_a_while();
      const auto answer = take("tgs", client->call(call).answer);
      take("finish_tgs",
           ticket::finish_tgs(wanted, tgt, request, answer.bytes, common::SystemClock().now()));
    };
  });
}

// ---- AS

double as_rate(const KdcServer& server, int threads) {
  return rate(threads, kAsSeconds, [&]() -> std::function<void()> {
    return [&] { take("login", server.login("root", KdcFiles::kRootPassword)); };
  });
}

double scrypt_rate(int threads) {
  return rate(threads, kAsSeconds, []() -> std::function<void()> {
    return [] {
      const Secret password = Secret::copy_of(common::as_bytes(KdcFiles::kRootPassword));
      const common::Bytes salt(32, std::byte{7});
      take("scrypt",
           common::crypto::scrypt(password, salt, common::crypto::ScryptParameters::standard()));
    };
  });
}

// ---- what an authenticated call costs more

class TwoDoors {
 public:
  explicit TwoDoors(const KdcServer& kdc, ticket::Credential credential) {
    auto verifier = std::make_shared<ticket::Verifier>(std::string(KdcFiles::kCell),
                                                       "fileserver/fs1", kdc.clock);
    if (!verifier->set_keys(kdc.files().keytab("fileserver/fs1")))
      die("keys", "not taken");
    common::rpc::OperationTable table;
    add(table, common::auth::auth_operation("fileserver", verifier));
    add(table, {.service = "fileserver", .name = "open", .handler = [](common::rpc::Call&) {
                  return common::Result<common::rpc::Reply>(common::rpc::Reply::text("{}"));
                }});
    const auto known = [](common::rpc::Call& call) -> common::Result<common::rpc::Reply> {
      if (common::auth::identity_of(call) == nullptr)
        return common::fail(common::ErrorCode::Unauthenticated, "nobody");
      return common::rpc::Reply::text("{}");
    };
    add(table, {.service = "fileserver", .name = "known", .handler = known, .needs_session = true});
    common::rpc::ServerOptions options;
    options.tls = kdc.files().server_tls();
    options.role = "fileserver";
    options.version = "0";
    server_ = take("server", common::rpc::Server::start(std::move(options), std::move(table)));
    common::rpc::ClientOptions client;
    client.host = "127.0.0.1";
    client.port = server_->port();
    client.tls = kdc.files().client_tls();
    open_ = std::make_unique<common::rpc::Client>(client);
    client.authenticate = common::auth::authenticate_with(
        std::make_shared<const ticket::Credential>(std::move(credential)));
    known_ = std::make_unique<common::rpc::Client>(client);
  }

  // Microseconds of CPU, of both ends together, that a call with a session costs more.
  double overhead_us() {
    constexpr int kCalls = 3000;
    std::vector<double> differences;
    for (int round = 0; round < 3 * kRounds; ++round) {
      const double open = cost_us(*open_, "open", kCalls);
      const double known = cost_us(*known_, "known", kCalls);
      differences.push_back(known - open);
    }
    return median(differences);
  }

 private:
  static void add(common::rpc::OperationTable& table, common::rpc::Operation operation) {
    if (const auto added = table.add(std::move(operation)); !added)
      die("operation", added.error().message);
  }
  static double cpu_us() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
  }
  static double cost_us(common::rpc::Client& client, const char* operation, int calls) {
    common::rpc::Request request;
    request.service = "fileserver";
    request.operation = operation;
    const auto call = [&] {
      request.deadline = in_a_while();
      take(operation, client.call(request).answer);
    };
    for (int i = 0; i < 100; ++i)
      call();
    const double begin = cpu_us();
    for (int i = 0; i < calls; ++i)
      call();
    return (cpu_us() - begin) / calls;
  }

  std::unique_ptr<common::rpc::Server> server_;
  std::unique_ptr<common::rpc::Client> open_;
  std::unique_ptr<common::rpc::Client> known_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 || (argc == 2 && std::string_view(argv[1]) != "--json")) {
    std::fprintf(stderr, "usage: bench_kdc [--json]\n");
    return 2;
  }
  KdcServer server;
  const auto tgt = take("login", server.login("root", KdcFiles::kRootPassword));
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));

  std::vector<ticket::Credential> tgts;
  for (int i = 0; i < kAskers; ++i) {
    const std::string name = "user" + std::to_string(i);
    server.add_user(name, "a long password");
    tgts.push_back(take("login", server.login(name, "a long password")));
  }

  std::vector<double> tgs;
  std::vector<double> as;
  std::vector<double> scrypt;
  std::vector<double> ratio;
  for (int round = 0; round < kRounds; ++round) {
    tgs.push_back(tgs_rate(server, tgts));
    as.push_back(as_rate(server, cores));
    scrypt.push_back(scrypt_rate(cores));
    ratio.push_back(as.back() / scrypt.back());
    std::fprintf(stderr, "round %d: %.0f TGS/s, %.1f AS/s, %.1f scrypt/s\n", round + 1, tgs.back(),
                 as.back(), scrypt.back());
  }
  TwoDoors doors(server, take("ticket", server.ticket(tgt, "fileserver/fs1")));
  const double overhead = doors.overhead_us();
  const auto verify = bench::measure_ticket_verify();
  const nlohmann::json report = {
      {"tgs_per_s", median(tgs)},
      {"as_per_s", median(as)},
      {"scrypt_per_s", median(scrypt)},
      {"as_of_scrypt", median(ratio)},
      {"ap_verify_us", verify.ap_verify_us},
      {"request_overhead_us", overhead},
      {"cores", cores},
      {"rounds", kRounds},
  };
  std::printf("%s\n", report.dump().c_str());
  return 0;
}
