#pragma once

// cpp-httplib's part: parsing, routing and writing the head of the answer, on bytes in memory.
//
// Nothing reaches it but heads that passed check_head, and it never sees a socket: its own accept
// loop, keep-alive, body reading and closing are not used (they keep idle connections busy and go
// on after rejected requests).

#include <memory>
#include <string>
#include <string_view>

namespace common::rpc {

// One request on its way through the engine.
class HttpExchange {
 public:
  HttpExchange() = default;
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;
  virtual ~HttpExchange() = default;

  // Called when the request was routed: runs the operation and returns the HTTP status.
  virtual int run(std::string_view service, std::string_view operation) = 0;
  // Then called once: header lines of the answer and the empty line after them.
  virtual std::string_view answer_headers() = 0;
};

// Safe from any thread once built; one exchange per thread at a time.
class HttpEngine {
 public:
  HttpEngine();
  ~HttpEngine();
  HttpEngine(const HttpEngine&) = delete;
  HttpEngine& operator=(const HttpEngine&) = delete;

  // Parses `head`, runs the exchange and appends the answer's head to `out`. False if the parser
  // disagreed with the guard, when nothing was run and the caller must refuse, or if memory ran out
  // after `run` was called; `out` is as it was.
  [[nodiscard]] bool process(std::string_view head, const std::string& peer_address,
                             HttpExchange& exchange, std::string& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace common::rpc
