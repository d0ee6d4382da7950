#pragma once

// The caller's side of the call protocol: one connection, one call at a time. Never repeats a call,
// follows nothing, believes no reply without a length. See pool.hpp and retry.hpp for more.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/rpc/byte_buffer.hpp"
#include "common/rpc/call.hpp"
#include "common/rpc/cancellation.hpp"
#include "common/rpc/protocol.hpp"
#include "common/rpc/socket.hpp"
#include "common/tls/connection.hpp"
#include "common/tls/context.hpp"

namespace common::rpc {

// Receives a reply's raw bytes in order, up to 256 KiB at a time. A failure ends the call.
using BytesSink = std::function<Status(std::span<const std::byte>)>;

struct Request {
  std::string_view service;
  std::string_view operation;
  // `deadline` in it is ignored: what goes out is what is left until `deadline` below.
  CallHead head;
  std::string args;  // JSON; empty means {}

  // Raw bytes to send after the head: in memory, or drawn from a source of exactly that size.
  std::span<const std::byte> bytes;
  BytesSource source;
  std::uint64_t source_size = 0;

  // Where a reply's raw bytes go. Without a sink they are collected in the answer.
  BytesSink sink;
  std::uint64_t max_reply_bytes = 64ULL * 1024 * 1024;  // beyond it the call fails with TooLarge

  Instant deadline = now() + kDefaultDeadline;
  const Cancellation* cancellation = nullptr;

  [[nodiscard]] bool has_bytes() const { return source != nullptr || !bytes.empty(); }
};

struct Answer {
  std::uint64_t epoch = 0;  // of the server; another one than before: it has started anew
  std::shared_ptr<const nlohmann::json> json;  // never null
  std::vector<std::byte> bytes;                // empty when a sink took them
  std::uint64_t raw_size = 0;

  [[nodiscard]] const nlohmann::json& result() const { return *json; }
};

enum class Outcome : std::uint8_t {
  NotSent,   // certainly not executed
  Unknown,   // perhaps executed
  Answered,  // the server said what happened
};

// How a call ended. The error's code agrees with the outcome: OutcomeUnknown exactly with Unknown.
struct CallResult {
  Outcome outcome = Outcome::NotSent;
  Result<Answer> answer;
};

class Client;

// Proves the caller to the server and the server to the caller, on a connection that is there:
// makes calls through `client` and nothing else. Returns the instant from which it is to be done
// again (on the same connection, before the next call). After a failure the connection is closed,
// and the call that wanted it was not sent. Runs in the calling thread, blocks at most until
// `deadline`.
using Authenticate =
    std::function<Result<Instant>(Client& client, Instant deadline, const Cancellation*)>;

struct ClientOptions {
  std::string host;  // name or numeric address to dial
  std::uint16_t port = 0;
  std::string server_name;  // what the certificate must carry; empty: `host`
  // Who the certificate must say its holder is; empty: whoever the authority has signed. Without
  // this, the key of any one server would do to pass for all others.
  std::string cell_id;
  std::string role;
  std::shared_ptr<tls::ReloadableContext> tls;
  std::chrono::milliseconds connect_limit{5'000};  // for dialling and handshake together
  // Done after dialling, before any call is sent. Empty: nobody is proven.
  Authenticate authenticate = {};
};

// Used by one thread at a time.
class Client {
 public:
  explicit Client(ClientOptions options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Dials if there is no connection, then makes the call. Blocks until it is answered, failed,
  // cancelled, or `request.deadline` has passed. After anything but an answer the connection is
  // gone, and the next call dials again.
  [[nodiscard]] CallResult call(const Request& request);

  // Dials now, so that a later call need not.
  [[nodiscard]] Status connect(Instant deadline, const Cancellation* cancellation = nullptr);
  void disconnect();

  // The caller becomes somebody on the connection that there is, and on all later ones: as
  // ClientOptions::authenticate from the beginning.
  [[nodiscard]] Status prove_with(Authenticate authenticate, Instant deadline);
  [[nodiscard]] bool connected() const { return tls_.has_value(); }

  // There is a connection and the server has not ended it. One system call.
  [[nodiscard]] bool still_open() const;

  // 32 bytes known only to the two ends of the present connection; see Peer::channel_binding.
  [[nodiscard]] Result<std::array<std::byte, 32>> channel_binding() const;

  // The numeric address that the present connection goes to: one of those `host` stands for.
  [[nodiscard]] Result<std::string> peer_address() const;

 private:
  struct Exchange;  // one call's state

  CallResult try_call(const Request& request);
  Status authenticate(Instant deadline, const Cancellation* cancellation);
  Status cut_off(Exchange& exchange, const Result<tls::Progress>& step) const;
  Status send(Exchange& exchange, std::span<const std::byte> bytes);
  Status send_source(Exchange& exchange);
  Status send_request(Exchange& exchange);
  Status receive(Exchange& exchange);
  Status receive_head(Exchange& exchange);
  Status receive_at_least(Exchange& exchange, std::size_t count);
  Status receive_raw(Exchange& exchange);
  Status receive_into(Exchange& exchange, std::span<std::byte> into);
  Result<Answer> receive_answer(Exchange& exchange);
  Status wait(Exchange& exchange, short events);
  Error why_cut_off(Error error);
  Error lost(const Exchange& exchange, Error error) const;

  ClientOptions options_;
  UniqueFd socket_;
  std::optional<tls::Connection> tls_;
  ByteBuffer in_;
  std::string out_;
  bool proven_ = false;  // the server has answered on this connection: the handshake was good
  bool authenticating_ = false;  // options_.authenticate is running
  Instant prove_again_{};        // meaningful with options_.authenticate
};

}  // namespace common::rpc
