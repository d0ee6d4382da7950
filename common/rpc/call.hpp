#pragma once

// What an operation's handler sees: the call, who makes it, and how to answer.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/rpc/parked.hpp"
#include "common/rpc/protocol.hpp"
#include "common/tls/certificate.hpp"

namespace common::rpc {

// What a user has proved on a connection. Owners of authentication derive from it; rpc only keeps
// it, and asks whether there is one and whether it is still good.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  // Asked before each operation that needs a session; must not block. A failure (Expired) is the
  // call's answer and leaves the connection open, so that the caller can prove himself again.
  [[nodiscard]] virtual Status check() const { return {}; }

  // How much longer check() will succeed, as far as can be known now: no body is received for a
  // call beyond it. Asked by the thread that receives; must not block.
  [[nodiscard]] virtual Duration left() const { return Duration::max(); }
};

// The other end of one connection, for as long as that lives. Calls of one connection run one after
// the other, so a handler needs no lock for it; it must not keep the reference beyond its call.
class Peer {
 public:
  Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  virtual ~Peer() = default;

  // Numeric, as the socket says; never from a header.
  [[nodiscard]] virtual const std::string& address() const = 0;
  // What the peer proved in the handshake; nullopt without a client certificate.
  [[nodiscard]] virtual const std::optional<tls::PeerCertificate>& certificate() const = 0;
  // 32 bytes known only to the two ends of this TLS session; proofs are bound to it.
  [[nodiscard]] virtual Result<std::array<std::byte, 32>> channel_binding() const = 0;

  [[nodiscard]] const std::shared_ptr<Session>& session() const { return session_; }
  void set_session(std::shared_ptr<Session> session) { session_ = std::move(session); }

  // What operations have noted of this connection, whoever proves himself on it; goes with it. Of a
  // type that all operations of a server agree on.
  [[nodiscard]] const std::shared_ptr<void>& note() const { return note_; }
  void set_note(std::shared_ptr<void> note) { note_ = std::move(note); }

 private:
  std::shared_ptr<Session> session_;
  std::shared_ptr<void> note_;
};

struct Reply;

// One call in progress. Lives in the worker's thread for the length of the handler.
class Call {
 public:
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  virtual ~Call() = default;

  [[nodiscard]] virtual const CallHead& head() const = 0;
  // The operation's own arguments; checked to be JSON and no more.
  [[nodiscard]] virtual const nlohmann::json& args() const = 0;
  // When the caller stops waiting. A handler that may wait passes it on; one that changes something
  // checks it in the transaction (an operation past its deadline must not happen).
  [[nodiscard]] virtual Instant deadline() const = 0;
  [[nodiscard]] virtual Peer& peer() = 0;

  // Raw bytes after the request head: how many in all.
  [[nodiscard]] virtual std::uint64_t body_size() const = 0;
  // The same bytes, whole; empty for streamed operations. Valid until the handler returns.
  [[nodiscard]] virtual std::span<const std::byte> body() const = 0;
  // Streamed operations: the next bytes, at least one (fewer than asked is usual); 0 at the end.
  // Blocks, within the body's deadline. Ask for 256 KiB or more at a time.
  [[nodiscard]] virtual Result<std::size_t> read_body(std::span<std::byte> into) = 0;

  // The server is stopping or the caller has hung up: a handler that waits asks now and then and
  // gives up. One system call.
  [[nodiscard]] virtual bool cancelled() const = 0;

  // Waiting for others without a thread. The handler returns what park() gives it and is run again,
  // from its beginning and by any worker, when state->wake() has been called, when `until` or the
  // call's deadline has passed (noticed up to 250 ms late), when the caller has hung up or when the
  // server stops; it may park again. Meanwhile the call is in nobody's way: it has no thread, no
  // place among the calls in flight, and keeps its request. Fails, and then the call must come to
  // its end:
  //   Cancelled         the caller is gone or the server stops; DeadlineExceeded: it is too late
  //   Overloaded        too many calls are parked; never for a call that was parked already
  //   Internal          no state, another call's state, or a streamed body not read to its end
  // So a handler parks before it changes anything that it cannot take back.
  [[nodiscard]] virtual Result<Reply> park(std::shared_ptr<Parked> state, Instant until) = 0;
  [[nodiscard]] Result<Reply> park(std::shared_ptr<Parked> state);
  // What it parked with before this run; nullptr in the first.
  [[nodiscard]] virtual std::shared_ptr<Parked> parked() const = 0;
};

// Delivers the next part of a reply's bytes: either fills a prefix of `scratch` (256 KiB) and
// returns it, or returns memory of its own that stays valid until the next call. An empty part
// before the announced size is a failure; the connection is then cut, which the client notices.
using BytesSource = std::function<Result<std::span<const std::byte>>(std::span<std::byte> scratch)>;

// A handler's answer. Either JSON alone, or JSON and bytes.
struct Reply {
  std::string result;  // JSON text; empty means null
  std::vector<std::byte> bytes;
  // With `source`, `bytes` is ignored and exactly `source_size` bytes are drawn. Runs in the
  // worker's thread after the handler has returned.
  BytesSource source;
  std::uint64_t source_size = 0;
  bool parked = false;  // no answer yet; set by Call::park() only

  [[nodiscard]] static Reply json(const nlohmann::json& value);
  [[nodiscard]] static Reply text(std::string json) { return Reply{.result = std::move(json)}; }
  [[nodiscard]] bool has_bytes() const { return source != nullptr || !bytes.empty(); }
};

inline Result<Reply> Call::park(std::shared_ptr<Parked> state) {
  return park(std::move(state), Instant::max());
}

}  // namespace common::rpc
