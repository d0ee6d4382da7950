#pragma once

// The two sides of the rpc benchmark, each in two makes: ours and stock cpp-httplib. Every function
// runs in a process of its own, started by the driver (rpc.cpp).

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bench {

// Where the driver has put certificates: ca.crt, server.crt, server.key.
struct Peers {
  std::string directory;
  int port = 0;
};

struct Load {
  std::string kind;  // json, get or put
  int callers = 1;
  double seconds = 1;      // json: how long
  std::uint64_t size = 0;  // get, put: bytes of the one transfer
};

struct Measured {
  double seconds = 0;
  std::uint64_t calls = 0;  // json
  double cpu_seconds = 0;   // of the client process
};

// One call's texts, the same for both makes: what a lookup in a directory might look like.
inline constexpr std::string_view kArgs =
    R"({"volume":7,"parent":123456,"name":"quarterly-report.txt"})";
inline constexpr std::string_view kOperationIdText = "0123456789abcdeffedcba9876543210";
inline constexpr std::size_t kWrite = 1024 * 1024;

// The service behind both servers: parsed arguments in, attributes as JSON text out.
std::string lookup_reply(std::string_view name, std::uint64_t parent);

// Serve until standard input closes; the port is printed first.
int serve_ours(const Peers& peers);
int serve_stock(const Peers& peers);

Measured load_ours(const Peers& peers, const Load& load);
Measured load_stock(const Peers& peers, const Load& load);

inline double cpu_seconds_of_this_process() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

inline double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Runs `make_call()()` on `callers` threads for `seconds` after each has called a few times; a
// connection is made inside make_call and kept.
Measured run_callers(int callers, double seconds,
                     const std::function<std::function<bool()>()>& make_call);

}  // namespace bench
