#pragma once

// The server's side of all streams: one listener, one thread, tens of thousands of mounts.
// Promises and sessions live above; this carries their messages.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"
#include "common/stream/admission.hpp"
#include "common/stream/stream_core.hpp"
#include "common/tls/certificate.hpp"
#include "common/tls/context.hpp"

namespace common::stream {

// Never reused within a process.
using StreamId = StrongId<struct StreamTag>;

// Who has said Hello.
struct PeerInfo {
  std::string address;  // without port, from the socket
  // TLS exporter value of this connection under kTlsBindingLabel: what a credential is bound to.
  std::array<std::byte, 32> tls_binding{};
  std::optional<tls::PeerCertificate> certificate;
};
inline constexpr std::string_view kTlsBindingLabel = "EXPORTER-troth-stream-1";

// What the layer above hears. All calls come from the loop's thread, one at a time, and must not
// block: ten thousand mounts wait meanwhile. They may call any method of the server but stop().
class ServerHandler {
 public:
  ServerHandler() = default;
  ServerHandler(const ServerHandler&) = delete;
  ServerHandler& operator=(const ServerHandler&) = delete;
  virtual ~ServerHandler() = default;

  // Judges a credential: a failure refuses the stream, its sentence is sent to the mount. What is
  // accepted is opened next; when memory is too short for that, on_close() is all that follows.
  virtual Status on_hello(StreamId stream, const PeerInfo& peer, BytesView credential) = 0;
  virtual void on_open(StreamId) {}
  virtual void on_message(StreamId, BytesView) {}
  // Only with CoreOptions::hold_renewals: answer with acknowledge().
  virtual void on_renewal(StreamId, std::uint64_t /*number*/) {}
  // Once for each stream that on_hello() accepted; nothing about it follows.
  virtual void on_close(StreamId, const CloseInfo&) {}
};

struct StreamServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one, see port()
  // New streams use its current context; reload it whenever a certificate is renewed.
  std::shared_ptr<tls::ReloadableContext> tls;
  CoreOptions core;
  AdmissionOptions admission;
  std::chrono::milliseconds handshake_deadline{5'000};
};

// Counters since start; may be read from any thread.
struct StreamServerStats {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused_full{0};
  std::atomic<std::uint64_t> refused_address{0};
  std::atomic<std::uint64_t> accept_errors{0};
  std::atomic<std::uint64_t> handshakes_failed{0};
  std::atomic<std::uint64_t> handshakes_evicted{0};
  std::atomic<std::uint64_t> opened{0};
  std::atomic<std::uint64_t> closed{0};
  std::atomic<std::uint64_t> broken_by_cap{0};  // peers that did not read
  std::atomic<std::uint64_t> messages_in{0};
  std::atomic<std::uint64_t> messages_out{0};
  [[nodiscard]] std::uint64_t open() const { return opened - closed; }
};

// Thread-safe. Methods queue their work for the loop's thread and never block (stop() apart); what
// one thread asks for is done in that order, in handlers, too;
// Overloaded when the loop is too far behind, Cancelled after stop(). A stream that has ended is
// no error: on_close() tells.
class StreamServer {
 public:
  // Binds and begins to serve. Fails with Busy when the port is taken, InvalidArgument when the
  // address is not numeric or no mount would accept the lease. `handler` and `clock` outlive the
  // server.
  static Result<std::unique_ptr<StreamServer>> start(StreamServerOptions options,
                                                     ServerHandler& handler, const Clock& clock);
  ~StreamServer();  // as stop()
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;

  // One message of 1 to kMaxMessage bytes (else InvalidArgument). A mount that does not read is
  // broken when more than CoreOptions::out_cap waits for it.
  Status send(StreamId stream, BytesView message);
  // The same message to every open stream.
  Status broadcast(BytesView message);
  // Ends one stream with a reason and a text of at most 256 bytes, after what was sent before.
  Status goodbye(StreamId stream, Goodbye goodbye);
  // Answers renewals up to `number`.
  Status acknowledge(StreamId stream, std::uint64_t number);

  // Stops listening, says Goodbye(leaving) to all, waits at most a second and a half for it to
  // reach them, ends the thread. Not from a handler.
  void stop();

  [[nodiscard]] const StreamServerStats& stats() const;

 private:
  class Impl;
  explicit StreamServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace common::stream
