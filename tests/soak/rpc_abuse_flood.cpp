#include "tests/soak/rpc_abuse_flood.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/tls/connection.hpp"
#include "tests/support/http_attacks.hpp"
#include "tests/support/raw_peer.hpp"

namespace rpc_abuse {
namespace {

using namespace common;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;
using test_support::RawPeer;

constexpr std::size_t kDripping = 2'000;
constexpr std::size_t kIdle = 5'000;
constexpr double kDialsPerSecond = 230;  // at least 200 are asked for
// Until each connection has been dialled once.
constexpr double kFirstDialsPerSecond = 450;
constexpr auto kDripPause = 1s;
constexpr auto kRowPause = 20ms;
// Each refused stream ends within about a megabyte, so that it takes a thousand to send 1 GB.
constexpr int kStreams = 10'000;

// One of the connections that the attacker wants to hold: dialled again whenever it is closed.
struct Slot {
  enum class State { Off, Dialling, Held };
  State state = State::Off;
  UniqueFd socket;
  std::optional<tls::Connection> tls;  // after socket
  std::size_t dripped = 0;
};

class Flood {
 public:
  Flood(std::uint16_t port, tls::ContextPtr context, int addresses)
      : port_(port),
        context_(std::move(context)),
        addresses_(addresses),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        slots_(kDripping + kIdle) {
    for (std::size_t i = 0; i < slots_.size(); ++i)
      off_.push_back(i);
  }

  // One turn of about 10 ms.
  void turn() {
    const auto now = Steady::now();
    // Spent as it is earned: no catching up after a pause, which would be another attack.
    const std::chrono::duration<double> passed = now - last_turn_;
    last_turn_ = now;
    const double rate = attempts < slots_.size() ? kFirstDialsPerSecond : kDialsPerSecond;
    earned_ = std::min(earned_ + rate * passed.count(), 50.0);
    for (; earned_ >= 1 && !off_.empty(); earned_ -= 1, ++attempts) {
      const std::size_t index = off_.front();
      off_.pop_front();
      dial(index);
    }
    std::array<epoll_event, 256> events;
    const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), 10);
    for (int i = 0; i < n; ++i)
      advance(events[static_cast<std::size_t>(i)].data.u64);
    drip(now);
    most_held = std::max(most_held, held);
  }

  std::uint64_t attempts = 0;
  std::uint64_t handshakes = 0;
  std::uint64_t closed = 0;
  std::size_t held = 0;
  std::size_t most_held = 0;

 private:
  void dial(std::size_t index) {
    Slot& slot = slots_[index];
    slot.socket = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int one = 1;
    ::setsockopt(slot.socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(
        0x7F000A01U + static_cast<std::uint32_t>(index % static_cast<std::size_t>(addresses_)));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(slot.socket.get(), reinterpret_cast<sockaddr*>(&from), sizeof from) != 0 ||
        (::connect(slot.socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 &&
         errno != EINPROGRESS)) {
      return drop(index);
    }
    auto session = tls::Connection::connect(context_, slot.socket.get(), "127.0.0.1");
    if (!session)
      return drop(index);
    slot.tls.emplace(*std::move(session));
    slot.state = Slot::State::Dialling;
    slot.dripped = 0;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = index;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, slot.socket.get(), &event);
  }

  void advance(std::size_t index) {
    Slot& slot = slots_[index];
    if (slot.state == Slot::State::Dialling) {
      const auto step = slot.tls->handshake();
      if (!step || step->closed)
        return drop(index);
      if (!step->finished())
        return;
      slot.state = Slot::State::Held;
      ++handshakes;
      ++held;
    }
    if (slot.state == Slot::State::Held) {
      std::array<std::byte, 512> ignored;
      const auto step = slot.tls->read(ignored);
      if (!step || step->closed || step->done > 0)
        drop(index);
    }
  }

  // A second's worth of dripping: a byte of a valid head on each dripping connection.
  void drip(Steady::time_point now) {
    if (now < next_drip_)
      return;
    next_drip_ = now + kDripPause;
    const std::string head = test_support::valid_call("count");
    for (std::size_t i = 0; i < kDripping; ++i) {
      Slot& slot = slots_[i];
      if (slot.state != Slot::State::Held)
        continue;
      const auto byte =
          std::as_bytes(std::span(head.data() + slot.dripped % (head.size() - 20), 1));
      if (!slot.tls->write(byte)) {
        drop(i);
      } else {
        ++slot.dripped;
      }
    }
  }

  void drop(std::size_t index) {
    Slot& slot = slots_[index];
    if (slot.state == Slot::State::Held)
      --held;
    ++closed;
    slot.tls.reset();
    slot.socket.reset();
    slot.state = Slot::State::Off;
    off_.push_back(index);
  }

  std::uint16_t port_;
  tls::ContextPtr context_;
  int addresses_;
  UniqueFd epoll_;
  std::vector<Slot> slots_;
  std::deque<std::size_t> off_;
  Steady::time_point last_turn_ = Steady::now();
  double earned_ = 0;
  Steady::time_point next_drip_ = last_turn_ + kDripPause;
};

// Tries a row and the bait behind it; false when the server did what it must not.
bool try_row(std::uint16_t port, const tls::ContextPtr& context,
             const test_support::HttpAttack& attack) {
  // Rows have an address of their own, below its cap.
  auto peer = RawPeer::dial_tls(port, context, "127.0.11.1");
  if (!peer)
    return peer.error().code != ErrorCode::DeadlineExceeded;
  (void)peer->send(attack.first);
  const auto reply = peer->read_reply();
  if (!reply)
    return false;
  const int status =
      reply->starts_with("HTTP/1.1 ") && reply->size() > 12 ? std::atoi(reply->c_str() + 9) : 0;
  (void)peer->send(test_support::bait());
  const auto more = peer->read_to_end();
  const bool refused = status == 0 || std::find(attack.statuses.begin(), attack.statuses.end(),
                                                status) != attack.statuses.end();
  if (refused && more && more->empty())
    return true;
  fmt::print(stderr, "row \"{}\": status {}, then {}\n", attack.name, status,
             more ? fmt::format("{} bytes more", more->size()) : more.error().message);
  return false;
}

std::atomic<bool> stop_asked{false};

void stop_at_sigterm() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_asked = true; };
  ::sigaction(SIGTERM, &action, nullptr);
}

void prepare() {
  be_idle();
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Pushed {
  std::size_t bytes = 0;
  std::size_t cut = 0;
};

// Pushes 1 GB behind `begin`; dials anew whenever the server ends the stream, up to `connections`.
Pushed push(std::uint16_t port, const tls::ContextPtr& context, const std::string& begin,
            int connections) {
  const std::string piece(256 * 1024, 'a');
  Pushed pushed;
  for (int i = 0; i < connections && pushed.bytes < kGigabyte; ++i) {
    auto peer = RawPeer::dial_tls(port, context, "127.0.12.1");
    if (!peer || !peer->send(begin))
      continue;
    while (pushed.bytes < kGigabyte) {
      const std::size_t n = std::min(piece.size(), kGigabyte - pushed.bytes);
      if (!peer->send(std::string_view(piece).substr(0, n)))
        break;
      pushed.bytes += n;
    }
    if (pushed.bytes >= kGigabyte) {
      (void)peer->read_reply();
    } else {
      ++pushed.cut;
    }
  }
  return pushed;
}

}  // namespace

void be_idle() {
  const sched_param none{};
  (void)::sched_setscheduler(0, SCHED_IDLE, &none);
}

int flood_main(std::uint16_t port, const std::string& ca, int addresses) {
  stop_at_sigterm();
  prepare();
  auto context = tls::make_client({.ca = ca});
  if (!context)
    return 1;
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> bad_rows{0};
  std::thread rows_thread([&] {
    while (!stop_asked) {
      for (const auto& attack : test_support::http_attacks()) {
        if (stop_asked)
          break;
        ++rows;
        if (!try_row(port, *context, attack))
          ++bad_rows;
        (void)::poll(nullptr, 0, std::chrono::milliseconds(kRowPause).count());
      }
    }
  });
  const auto begin = Steady::now();
  Flood flood(port, *context, addresses);
  while (!stop_asked)
    flood.turn();
  const std::chrono::duration<double> took = Steady::now() - begin;
  rows_thread.join();
  fmt::print("flood {} {} {} {} {} {} {:.3f} {:.1f}\n", flood.attempts, flood.handshakes,
             flood.closed, flood.most_held, rows.load(), bad_rows.load(), cpu_seconds(),
             static_cast<double>(flood.attempts) / took.count());
  return 0;
}

int giant_main(std::uint16_t port, const std::string& ca) {
  prepare();
  auto context = tls::make_client({.ca = ca});
  if (!context)
    return 1;
  const auto head = [](std::string_view operation, std::string_view rest) {
    return fmt::format("POST /v1/abuse/{} HTTP/1.1\r\nContent-Type: application/octet-stream\r\n{}",
                       operation, rest);
  };
  const std::string framed = std::string("\0\0\0\7", 4) + "{\"v\":1}";
  const std::string accepted =
      head("sink", fmt::format("Content-Length: {}\r\n\r\n", kGigabyte + framed.size())) + framed;
  auto report = [&, cpu = 0.0](const char* name, Pushed pushed) mutable {
    const double before = std::exchange(cpu, cpu_seconds());
    fmt::print("giant {} {} {} {:.3f}\n", name, pushed.bytes, pushed.cut, cpu - before);
  };
  report("header", push(port, *context, head("count", "Accept: "), kStreams));
  report("chunks", push(port, *context,
                        head("sink", "Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n"), kStreams));
  report("refused_body",
         push(port, *context, head("echo", fmt::format("Content-Length: {}\r\n\r\n", kGigabyte)),
              kStreams));
  report("body", push(port, *context, accepted, 1));
  return 0;
}

}  // namespace rpc_abuse
