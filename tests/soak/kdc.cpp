// A real KDC and two real services under honest users, and somebody who repeats all that he hears.
//   soak_kdc --seconds 60 --seed 1
// Honest clients log in, get tickets, prove themselves, send travelling proofs. The replayer sends
// every AS, TGS and AP request and every proof again: to the same server on other connections, to a
// sibling, after kill -9 and restart. A storm of proofs against one table runs beside it, its
// processes killed as well. Last line:
// {"replays":..,"replays_accepted":..,"logins":..,"violations":..}

#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <thread>

#include <nlohmann/json.hpp>

#include "common/sync/event.hpp"
#include "common/sync/locked.hpp"
#include "common/ticket/exchange.hpp"
#include "common/ticket/proof.hpp"
#include "common/wire/base64.hpp"
#include "tests/soak/kdc_service.hpp"
#include "tests/soak/kdc_storm.hpp"
#include "tests/support/kdc_process.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace std::chrono_literals;
using common::Bytes;
using common::ErrorCode;
using common::Instant;
using common::Result;
using common::crypto::Secret;
using test_support::KdcFiles;
using test_support::Process;
namespace ticket = common::ticket;
namespace rpc = common::rpc;
using soak_kdc::die;
using soak_kdc::kHead;
using soak_kdc::take;

const common::SystemClock kClock;
constexpr std::array<const char*, 2> kServices{"fileserver/fs1", "fileserver/fs2"};
// How much of what was heard is kept to be repeated; the oldest goes first.
constexpr std::size_t kHeard = 4096;
// From one address, wrong logins are limited; honest users share it with the replayer here.
constexpr auto kBetweenWrongLogins = 6s;

// ---- the servers of the run

struct Heard {
  enum class What : std::uint8_t { As, Tgs, Ap, Proof };
  What what = What::As;
  std::string service;  // that it was for
  Bytes bytes;
};

struct Counts {
  std::atomic<std::uint64_t> logins{0};
  std::atomic<std::uint64_t> tickets{0};
  std::atomic<std::uint64_t> sessions{0};
  std::atomic<std::uint64_t> proofs{0};
  std::atomic<std::uint64_t> replays{0};
  std::atomic<std::uint64_t> replays_accepted{0};
  std::atomic<std::uint64_t> kills{0};
  common::Locked<std::vector<std::string>> violations;

  void violation(std::string what) {
    std::fprintf(stderr, "violation: %s\n", what.c_str());
    auto all = violations.lock();
    if (all->size() < 100)
      all->push_back(std::move(what));
  }
};

class Soak {
 public:
  Soak(std::string self, std::uint64_t seed) : self_(std::move(self)), seed_(seed) {
    tls_ = files_.client_tls();
    for (const char* service : kServices) {
      const std::string stem = std::string(service).substr(11);
      const auto saved =
          ticket::save_keytab(files_.keytab(service), files_.path() / (stem + ".keytab"));
      if (!saved)
        die(saved.error().message);
      soak_kdc::make_old_table({.path = files_.path() / (stem + ".replay")});
    }
    start_kdc();
    start_service(0);
    start_service(1);
  }

  int run(int seconds);

 private:
  void start_kdc() {
    if (const auto started = kdc_.start(); !started)
      die(started.error().message);
    kdc_port_ = kdc_.port();
  }
  void start_service(std::size_t i) {
    services_[i].emplace(take(Process::spawn(self_, {"--serve", files_.path(), kServices[i]})));
    const std::string line = take(services_[i]->wait_for_line("ready "));
    service_ports_[i] = static_cast<std::uint16_t>(number_after(line, "ready "));
  }
  static unsigned long number_after(const std::string& line, const std::string& what) {
    const auto at = line.find(what);
    if (at == std::string::npos)
      die("no port in: " + line);
    return std::strtoul(line.c_str() + at + what.size(), nullptr, 10);
  }

  std::unique_ptr<rpc::Client> to_port(std::uint16_t port) {
    rpc::ClientOptions options;
    options.host = "127.0.0.1";
    options.port = port;
    options.tls = tls_;
    return std::make_unique<rpc::Client>(options);
  }
  std::unique_ptr<rpc::Client> to_service(std::size_t i) { return to_port(service_ports_[i]); }

  static Result<rpc::Answer> call(rpc::Client& client, std::string_view service,
                                  std::string_view operation, const Bytes& bytes) {
    rpc::Request request;
    request.service = service;
    request.operation = operation;
    request.bytes = bytes;
    request.deadline = kClock.now() + 10s;
    return client.call(request).answer;
  }

  void heard(Heard::What what, std::string service, const Bytes& bytes) {
    auto all = heard_.lock();
    all->push_back({what, std::move(service), bytes});
    if (all->size() > kHeard)
      all->pop_front();
  }

  // An honest step may fail because a server was killed or an address has too many attempts;
  // anything else is wrong.
  bool excused(const common::Error& error, const char* what) {
    switch (error.code) {
      case ErrorCode::Unavailable:
      case ErrorCode::OutcomeUnknown:
      case ErrorCode::DeadlineExceeded:
      case ErrorCode::Cancelled:
      case ErrorCode::Overloaded:
      case ErrorCode::IoError:  // the connection was reset in its handshake
        return true;
      default:
        counts_.violation(
            fmt::format("{} failed: {}: {}", what, to_string(error.code), error.message));
        return false;
    }
  }

  Result<ticket::Credential> login(const Secret& key);
  Result<ticket::Credential> get_ticket(const ticket::Credential& tgt, const char* service);
  common::Status use(std::size_t i, const ticket::Credential& credential);
  void honest_main(std::uint64_t seed);
  void replayer_main(std::uint64_t seed);
  bool replay(const Heard& item, std::size_t at);
  void killer_main(std::uint64_t seed);

  const std::string self_;
  const std::uint64_t seed_;
  KdcFiles files_;
  std::shared_ptr<common::tls::ReloadableContext> tls_;
  test_support::KdcProcess kdc_{files_};
  std::array<std::optional<Process>, 2> services_;
  std::atomic<std::uint16_t> kdc_port_{0};
  std::array<std::atomic<std::uint16_t>, 2> service_ports_{};
  common::Locked<std::deque<Heard>> heard_;
  Counts counts_;
  std::atomic<bool> stop_{false};
  common::Event ended_;  // the killer waits on it
};

// ---- honest users

Result<ticket::Credential> Soak::login(const Secret& key) {
  const auto client = to_port(kdc_port_);
  TROTH_TRY_VOID(client->connect(kClock.now() + 10s));
  TROTH_TRY(const auto channel, client->channel_binding());
  ticket::AsWanted wanted;
  wanted.cell = KdcFiles::kCell;
  wanted.client = "root";
  TROTH_TRY(const Bytes request, ticket::begin_as(wanted, key, channel));
  TROTH_TRY(const auto answer, call(*client, "kdc", "as", request));
  heard(Heard::What::As, "kdc", request);
  ++counts_.logins;
  return ticket::finish_as(wanted, key, request, answer.bytes, kClock.now());
}

Result<ticket::Credential> Soak::get_ticket(const ticket::Credential& tgt, const char* service) {
  const auto client = to_port(kdc_port_);
  TROTH_TRY_VOID(client->connect(kClock.now() + 10s));
  TROTH_TRY(const auto channel, client->channel_binding());
  const ticket::TgsWanted wanted{.service = service};
  TROTH_TRY(const Bytes request, ticket::begin_tgs(wanted, tgt, channel));
  TROTH_TRY(const auto answer, call(*client, "kdc", "tgs", request));
  heard(Heard::What::Tgs, "kdc", request);
  ++counts_.tickets;
  return ticket::finish_tgs(wanted, tgt, request, answer.bytes, kClock.now());
}

common::Status Soak::use(std::size_t i, const ticket::Credential& credential) {
  const auto client = to_service(i);
  TROTH_TRY_VOID(client->connect(kClock.now() + 10s));
  TROTH_TRY(const auto channel, client->channel_binding());
  TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
  TROTH_TRY(const auto reply, call(*client, "fileserver", "auth", ap.request()));
  TROTH_TRY_VOID(ap.finish(reply.bytes).map([](const ticket::ApExchange::Session&) {}));
  heard(Heard::What::Ap, kServices[i], ap.request());
  ++counts_.sessions;
  TROTH_TRY(const auto me, call(*client, "fileserver", "whoami", {}));
  if (me.result()["name"] != "root")
    counts_.violation("a service took us for somebody else");
  for (int n = 0; n < 4; ++n) {
    TROTH_TRY(const Bytes proof, ticket::make_travelling_proof(credential, kHead, {},
                                                               credential.kdc_time(kClock.now())));
    TROTH_TRY(const auto proven, call(*client, "fileserver", "proof", proof));
    static_cast<void>(proven);
    heard(Heard::What::Proof, kServices[i], proof);
    ++counts_.proofs;
  }
  return {};
}

void Soak::honest_main(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  // What scrypt makes of the password is what a login costs; once is enough for a soak of replays.
  Secret key;
  {
    const auto door = to_port(kdc_port_);
    rpc::Request request;
    request.service = "kdc";
    request.operation = "preauth";
    request.args = R"({"client":"root"})";
    request.deadline = kClock.now() + 10s;
    const auto answer = take(door->call(request).answer);
    const auto salt = take(common::wire::from_base64(answer.result()["salt"].get<std::string>()));
    key = take(common::crypto::scrypt(Secret::copy_of(common::as_bytes(KdcFiles::kRootPassword)),
                                      salt, common::crypto::ScryptParameters::standard()));
  }
  while (!stop_) {
    const auto tgt = login(key);
    if (!tgt) {
      excused(tgt.error(), "a login");
      continue;
    }
    for (int n = 0; n < 8 && !stop_; ++n) {
      const std::size_t i = random() % kServices.size();
      const auto credential = get_ticket(*tgt, kServices[i]);
      if (!credential) {
        excused(credential.error(), "getting a ticket");
        continue;
      }
      if (const auto used = use(i, *credential); !used)
        excused(used.error(), "using a ticket");
    }
  }
}

// ---- the replayer

// Whether `item` was accepted by the server `at` (of the services; the KDC is one).
bool Soak::replay(const Heard& item, std::size_t at) {
  const bool to_kdc = item.what == Heard::What::As || item.what == Heard::What::Tgs;
  const auto client = to_kdc ? to_port(kdc_port_) : to_service(at);
  const char* operation = item.what == Heard::What::As    ? "as"
                          : item.what == Heard::What::Tgs ? "tgs"
                          : item.what == Heard::What::Ap  ? "auth"
                                                          : "proof";
  const auto answer = call(*client, to_kdc ? "kdc" : "fileserver", operation, item.bytes);
  if (!answer && answer.error().code != ErrorCode::Unauthenticated &&
      answer.error().code != ErrorCode::Overloaded && answer.error().code != ErrorCode::Expired)
    return false;  // it did not arrive
  ++counts_.replays;
  return answer.has_value();
}

void Soak::replayer_main(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Instant next_as = kClock.now();
  while (!stop_) {
    std::optional<Heard> item;
    {
      auto all = heard_.lock();
      if (!all->empty())
        item = (*all)[random() % all->size()];
    }
    if (!item) {
      std::this_thread::yield();
      continue;
    }
    if (item->what == Heard::What::As) {
      if (kClock.now() < next_as)
        continue;
      next_as = kClock.now() + kBetweenWrongLogins;
    }
    const std::size_t at = random() % kServices.size();
    if (replay(*item, at)) {
      ++counts_.replays_accepted;
      counts_.violation(
          fmt::format("a replayed message (kind {}) was accepted", static_cast<int>(item->what)));
    }
  }
}

// Waits between kills on a condition that ends with the run.
void Soak::killer_main(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!stop_) {
    // After some more work, whatever the machine makes of the time.
    const std::uint64_t until = counts_.sessions + 40 + random() % 80;
    const Instant latest = kClock.now() + 10s;
    while (!stop_ && counts_.sessions < until && kClock.now() < latest)
      static_cast<void>(ended_.wait_for(20ms));
    if (stop_)
      return;
    const std::size_t victim = random() % 3;
    ++counts_.kills;
    if (victim == 2) {
      kdc_.kill();
      start_kdc();
    } else {
      services_[victim]->kill();
      start_service(victim);
    }
  }
}

int Soak::run(int seconds) {
  const Instant deadline = kClock.now() + std::chrono::seconds(seconds);
  const auto storm_directory = files_.path() / "storm";
  std::filesystem::create_directory(storm_directory);
  ticket::AsWanted wanted;
  wanted.client = "root";
  const auto client = files_.client(kdc_port_);
  const auto tgt = take(client.login(
      wanted, Secret::copy_of(common::as_bytes(KdcFiles::kRootPassword)), kClock.now() + 30s));
  const auto credential = take(client.ticket({.service = kServices[0]}, tgt, kClock.now() + 30s));

  std::vector<std::thread> threads;
  threads.emplace_back([&] { honest_main(seed_); });
  threads.emplace_back([&] { honest_main(seed_ + 1); });
  threads.emplace_back([&] { replayer_main(seed_ + 2); });
  threads.emplace_back([&] { replayer_main(seed_ + 3); });
  threads.emplace_back([&] { killer_main(seed_ + 4); });
  const auto storm = soak_kdc::storm(self_, storm_directory, credential,
                                     files_.keytab(kServices[0]), seed_, deadline, stop_);
  for (common::Event nobody; kClock.now() < deadline;)
    static_cast<void>(nobody.wait_for(deadline - kClock.now()));
  stop_ = true;
  ended_.set();
  for (std::thread& thread : threads)
    thread.join();
  if (storm.accepted_again > 0)
    counts_.violation("a proof was accepted twice");
  if (storm.lost > 0)
    counts_.violation("proofs were never accepted");
  if (counts_.logins == 0 || counts_.sessions == 0 || counts_.proofs == 0)
    counts_.violation("honest users got nothing done");
  const auto violations = *counts_.violations.lock();
  const nlohmann::json report = {
      {"replays", counts_.replays + storm.replays},
      {"replays_over_the_wire", counts_.replays.load()},
      {"replays_accepted", counts_.replays_accepted + storm.accepted_again},
      {"logins", counts_.logins.load()},
      {"tickets", counts_.tickets.load()},
      {"sessions", counts_.sessions.load()},
      {"proofs", counts_.proofs + storm.proofs},
      {"kills", counts_.kills + storm.kills},
      {"violations", violations.size()},
      {"violation_list", violations},
  };
  std::printf("%s\n", report.dump().c_str());
  return violations.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 3 && args[0] == "--serve")
    return soak_kdc::serve(args[1], args[2]);
  if (args.size() == 3 && args[0] == "--storm")
    return soak_kdc::storm_child(args[1], std::atoi(args[2].c_str()));
  int seconds = 60;
  std::uint64_t seed = 1;
  for (std::size_t i = 0; i < args.size(); i += 2) {
    if (i + 1 < args.size() && args[i] == "--seconds") {
      seconds = std::max(std::atoi(args[i + 1].c_str()), 5);
    } else if (i + 1 < args.size() && args[i] == "--seed") {
      seed = std::strtoull(args[i + 1].c_str(), nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: soak_kdc [--seconds N] [--seed S]\n");
      return 2;
    }
  }
  return Soak(std::filesystem::canonical("/proc/self/exe"), seed).run(seconds);
}
