#pragma once

// The mount's side: keeps one stream open to each of its servers, from one thread, and dials again
// when one breaks.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/stream/redial.hpp"
#include "common/stream/server.hpp"
#include "common/stream/stream_core.hpp"
#include "common/tls/context.hpp"

namespace common::stream {

// What the layer above hears of its streams. All calls come from the loop's thread, one at a time,
// and must not block. They may call any method of the client but stop().
class ClientHandler {
 public:
  ClientHandler() = default;
  ClientHandler(const ClientHandler&) = delete;
  ClientHandler& operator=(const ClientHandler&) = delete;
  virtual ~ClientHandler() = default;

  // Proves who is dialling, over the connection whose TLS exporter value is `tls_binding`. At most
  // kMaxCredential bytes.
  virtual Bytes credential(StreamId, const std::array<std::byte, 32>& /*tls_binding*/) {
    return {};
  }
  // `lease_until`: promises of this stream may be trusted strictly before it. A server_epoch other
  // than the last one means that the server has forgotten us.
  virtual void on_open(StreamId, std::uint64_t /*server_epoch*/, Instant /*lease_until*/) {}
  virtual void on_message(StreamId, BytesView) {}
  virtual void on_renewed(StreamId, Instant /*lease_until*/) {}
  // The stream broke, or an attempt failed (then on_open() had not been called). Another attempt
  // follows by itself until hang_up().
  virtual void on_close(StreamId, const CloseInfo&) {}
};

struct DialOptions {
  std::string address;  // numeric
  std::uint16_t port = 0;
  // Must be among the names in the server's certificate; empty: `address`.
  std::string server_name;
  // Source address, numeric; empty leaves it to the kernel.
  std::string from_address;
};

struct StreamClientOptions {
  // New attempts use its current context.
  std::shared_ptr<tls::ReloadableContext> tls;
  CoreOptions core;
  RedialOptions redial;
  // Connecting and the TLS handshake together.
  std::chrono::milliseconds dial_deadline{5'000};
  // A mount with many servers does not dial them all in one moment.
  std::size_t dials_at_once = 32;
  // Streams of one client. A mount has one per server; more is a runaway.
  std::size_t streams = 1'024;
  // For the jitter of re-dials; nothing else depends on it.
  std::uint64_t seed = 0;  // 0: from the clock
};

// Thread-safe; methods queue their work for the loop's thread and never block (stop() apart).
class StreamClient {
 public:
  // `handler` and `clock` outlive the client.
  static Result<std::unique_ptr<StreamClient>> start(StreamClientOptions options,
                                                     ClientHandler& handler, const Clock& clock);
  ~StreamClient();  // as stop()
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  // Begins to dial at once and keeps the stream up until hang_up(). The id names the stream through
  // all its re-dials. InvalidArgument for a bad address, ResourceExhausted over the cap.
  Result<StreamId> dial(DialOptions to);
  // Says Goodbye and dials no more. on_close() comes if the stream was open.
  Status hang_up(StreamId stream);

  // One message of 1 to kMaxMessage bytes. Dropped when the stream is not open at that moment:
  // on_close() has told or will tell.
  Status send(StreamId stream, BytesView message);

  // Says Goodbye to all, waits at most a second and a half for it to leave, ends the thread. Not
  // from a handler.
  void stop();

 private:
  class Impl;
  explicit StreamClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace common::stream
