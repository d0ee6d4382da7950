#pragma once

// One end of one stream as a pure step function: bytes, calls and time go in, bytes to write and
// effects come out. No socket, thread, clock, randomness or TLS, so the simulator drives the very
// code that production runs. PROTOCOL.md is the contract it keeps.
//
// How to drive it, whoever does:
//   1. feed on_bytes() what was read, call on_timer() at next_deadline(), on_transport_lost() when
//      the connection has ended;
//   2. after any call act on the effects in order, write output() and report consume_output();
//   3. when finished() is true, close the connection. Exactly one Closed effect has been given.
// Not thread-safe; one owner at a time.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/clock.hpp"
#include "common/stream/frame.hpp"
#include "common/stream/out_buffer.hpp"

namespace common::stream {

enum class Role : std::uint8_t { Server, Mount };

// Limits and times of a stream; shared by all streams of a loop and outlives them.
struct CoreOptions {
  // Server: what its Welcome announces. A third of the lease at most.
  std::chrono::milliseconds keep_alive{30'000};
  std::chrono::milliseconds lease{90'000};
  // How much longer the server waits than the mount trusts: covers the drift of two clocks.
  std::chrono::milliseconds lease_margin{2'000};
  std::uint64_t server_epoch = 0;
  // Server: false answers each Renew at once; true leaves it to acknowledge_renewal().
  bool hold_renewals = false;
  // From the end of the TLS handshake to the end of Hello or Welcome.
  std::chrono::milliseconds hello_deadline{3'000};
  // From the first byte of a frame to its last.
  std::chrono::milliseconds frame_deadline{10'000};
  // A peer that lets bytes wait so long without ever emptying the queue is not reading.
  std::chrono::milliseconds write_deadline{30'000};
  // For flushing a Goodbye.
  std::chrono::milliseconds goodbye_deadline{1'000};
  // Enough for a thousand small notices; ten thousand streams at the cap are 640 MiB.
  std::size_t out_cap = 64 * 1024;
};

// Why a stream ended.
struct CloseInfo {
  Error error;
  bool by_peer_goodbye = false;
  GoodbyeReason reason = GoodbyeReason::Leaving;  // if by_peer_goodbye
  std::chrono::milliseconds retry_after{0};       // if by_peer_goodbye
};

struct Effect {
  enum class Kind : std::uint8_t {
    HelloReceived,  // server: `bytes` is the credential; answer with accept() or refuse()
    Opened,         // Welcome sent (server) or received (mount); messages may flow
    Message,        // `bytes`
    Renewal,        // server with hold_renewals: `number` waits for acknowledge_renewal()
    Renewed,        // mount: lease_until() has moved
    Closed,         // `close`; nothing follows
  };
  Kind kind = Kind::Closed;
  Bytes bytes;
  std::uint64_t number = 0;
  CloseInfo close;
};
using Effects = std::vector<Effect>;

class StreamCore {
 public:
  // A server's end, waiting for Hello since `now`.
  StreamCore(const CoreOptions& options, Instant now);
  // A mount's end; its Hello is in output() at once. `credential` is at most kMaxCredential bytes.
  StreamCore(const CoreOptions& options, Instant now, BytesView credential);

  void on_bytes(BytesView input, Instant now, Effects& effects);
  void on_timer(Instant now, Effects& effects);
  // The connection ended without a Goodbye, or was never usable.
  void on_transport_lost(Error error, Effects& effects);

  // Server, after HelloReceived: opens the stream, or says Goodbye(refused) with this text.
  void accept(Instant now, Effects& effects);
  void refuse(std::string text, Instant now, Effects& effects);
  // Server with hold_renewals: answers every renewal up to `number` that has been received.
  void acknowledge_renewal(std::uint64_t number, Instant now, Effects& effects);

  // Queues one message. Unavailable when the stream is not open, InvalidArgument for a length that
  // no frame has. When the queue is over its cap the stream is broken here and now:
  // ResourceExhausted and a Closed effect.
  Status send(BytesView payload, Instant now, Effects& effects);
  // The same for a frame made by encode_message(), so that a broadcast encodes once.
  Status send_encoded(BytesView frame, Instant now, Effects& effects);
  // Says Goodbye, gives Closed at once, and is finished() when the output is flushed.
  void goodbye(const Goodbye& goodbye, Instant now, Effects& effects);

  [[nodiscard]] BytesView output() const { return out_.view(); }
  void consume_output(std::size_t n, Instant now);

  // When on_timer() is to be called next; Instant::max() if never.
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] bool is_open() const { return phase_ == Phase::Open; }
  [[nodiscard]] bool finished() const { return phase_ == Phase::Closed; }
  // True when what we closed with should reach the peer: linger for it instead of cutting.
  [[nodiscard]] bool said_goodbye() const { return said_goodbye_; }
  // Mount: promises on this stream may be trusted strictly before this instant.
  [[nodiscard]] Instant lease_until() const { return lease_until_; }

 private:
  enum class Phase : std::uint8_t {
    AwaitHello,    // server
    AwaitVerdict,  // server: the owner judges the credential
    AwaitWelcome,  // mount
    Open,
    Leaving,  // Goodbye queued, nothing else may follow
    Closed,
  };
  struct SentRenewal {
    std::uint64_t number = 0;
    Instant sent;
  };
  // keep_alive is at most a third of the lease, so a fourth unanswered renewal means it ran out.
  static constexpr std::size_t kMaxUnanswered = 4;

  void on_frame(const Frame& frame, Instant now, Effects& effects);
  void on_hello(BytesView payload, Instant now, Effects& effects);
  void on_welcome(BytesView payload, Instant now, Effects& effects);
  void on_renew(BytesView payload, Instant now, Effects& effects);
  void on_renewed(BytesView payload, Instant now, Effects& effects);
  void on_goodbye(BytesView payload, Effects& effects);
  void send_renewal(Instant now, Effects& effects);

  // Appends a frame; breaks the stream when it does not fit.
  Status queue(BytesView frame, Instant now, Effects& effects);
  // Says Goodbye because the peer broke the contract.
  void violation(std::string text, Instant now, Effects& effects);
  // Ends without a word.
  void cut(Error error, Effects& effects);
  void close_with(CloseInfo info, Effects& effects);

  const CoreOptions* options_;
  Role role_;
  Phase phase_;
  bool said_goodbye_ = false;
  bool closed_given_ = false;
  FrameDecoder decoder_;
  OutBuffer out_;
  Instant phase_deadline_;  // of every phase but Open
  Instant frame_deadline_;  // while mid-frame
  Instant write_deadline_;  // while output waits
  Instant lease_until_ = Instant::min();
  Instant next_renewal_ = Instant::max();  // mount
  std::uint64_t last_number_ = 0;          // last Renew sent or received
  std::uint64_t last_answered_ = 0;
  // Mount only; empty on the server, where there are thousands.
  std::vector<SentRenewal> unanswered_;
  Instant hello_sent_;
  std::chrono::milliseconds lease_{0};       // mount: as welcomed
  std::chrono::milliseconds keep_alive_{0};  // mount: as welcomed
};

}  // namespace common::stream
