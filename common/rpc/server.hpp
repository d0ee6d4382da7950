#pragma once

// The server of the call protocol (PROTOCOL.md).
//
// Idle, silent and slow connections wait in one epoll set and cost no thread; a worker thread holds
// a connection only while there is something to do at once, and for a moment after a reply, because
// the next request usually follows. cpp-httplib parses and routes what the strict guard let pass;
// accepting, handshakes, deadlines, buffers and closing are ours.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/result.hpp"
#include "common/rpc/health.hpp"
#include "common/rpc/operations.hpp"
#include "common/rpc/server_stats.hpp"
#include "common/tls/context.hpp"

namespace common::rpc {

// The protocol's caps. The defaults are those of PROTOCOL.md; tests set small ones.
struct ServerLimits {
  std::chrono::milliseconds handshake{3'000};
  std::chrono::milliseconds head{3'000};
  std::chrono::milliseconds idle{60'000};
  std::chrono::milliseconds idle_under_pressure{5'000};
  std::chrono::milliseconds transfer_base{10'000};  // for a body or a reply of no size
  std::uint64_t transfer_bytes_per_second = 64 * 1024;
  std::chrono::milliseconds drain{1'000};  // discarding what a refused caller still sends

  std::size_t head_bytes = kMaxHttpHeadBytes;
  std::size_t head_lines = kMaxHeaderLines;
  std::size_t connections = 8'192;
  std::size_t connections_per_address = 64;
  // Most worker threads; they are started as they are needed and have stacks of 256 KiB.
  std::size_t threads = 256;
  std::size_t handshake_threads = 0;               // zero: half as many as cores
  std::size_t collected_bytes = 64 * 1024 * 1024;  // request bodies being collected, in all
  std::size_t collected_bytes_per_address = 24 * 1024 * 1024;

  // Calls in flight; zero: half of the threads for metadata, three eighths for bulk. Together they
  // must leave some threads, for status and for whatever is not a call.
  std::size_t metadata_in_flight = 0;  // half of it for calls of strangers (open_to_all)
  std::size_t bulk_in_flight = 0;
  std::chrono::milliseconds retry_after{50};  // told to those refused by these two

  // Calls parked (Call::park). Each has a connection, so the caps on those hold, too.
  std::size_t parked = 10'000;
  std::size_t parked_per_address = 1'000;
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // numeric
  std::uint16_t port = 0;             // zero: any; see port()
  std::shared_ptr<tls::ReloadableContext> tls;

  // Answer of `POST /v1/<role>/status`, which the server adds to the table.
  std::string role;
  std::string version;
  std::function<HealthReport()> health;  // none: ready
  std::uint64_t epoch = 0;               // zero: drawn from the wall clock at the start

  ServerLimits limits;
};

class Server {
 public:
  // Binds, listens and begins to answer. One sentence on failure: the port is in use, the address
  // is not ours, the table names an operation wrongly.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(ServerOptions options,
                                                             OperationTable operations);

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  // stops

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::uint64_t epoch() const;

  // No new calls; idle connections close at once, calls in progress are cut off from their peers
  // and finish (Call::cancelled() says so); handlers of parked calls run once more, for the same.
  // Returns when all threads are gone. Any thread but a handler's; again is harmless.
  void stop();

  // Reads the certificate files again; connections that are open keep the old ones.
  [[nodiscard]] Status reload_tls();

  // Closes up to `count` idle connections, longest idle first; returns how many.
  std::size_t shed(std::size_t count);

  // Counts since the start; any thread.
  [[nodiscard]] ServerStats stats() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace common::rpc
