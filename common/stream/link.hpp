#pragma once

// One TCP connection of a loop: its TLS session, its place in life, and the core that speaks on
// it. Does the reading and writing that the core may not. Used by the loop's thread only; never
// blocks. Internal to common/stream.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/io/unique_fd.hpp"
#include "common/stream/stream_core.hpp"
#include "common/tls/connection.hpp"

namespace common::stream {

class Link {
 public:
  enum class Phase : std::uint8_t {
    Connecting,  // TCP, our dial
    Handshake,
    Streaming,  // there is a core
    Lingering,  // Goodbye is out, waiting for the peer to close too
    Dead,
  };

  // `first` is Connecting or Handshake; it and the handshake together end at `deadline`.
  Link(std::uint64_t id, UniqueFd socket, tls::Connection tls, Phase first, Instant deadline);

  // The socket became ready, or more is pending. Effects are appended; after them the caller asks
  // for phase(), wants_core(), hungry().
  void on_ready(Instant now, std::span<std::byte> scratch, Effects& effects);
  void on_timer(Instant now, Effects& effects);
  // Writes what the core has to say, and ends the connection when the core has finished.
  void flush(Instant now, Effects& effects);

  // True between the end of the handshake and begin().
  [[nodiscard]] bool wants_core() const { return phase_ == Phase::Streaming && !core_; }
  void begin(StreamCore core) { core_.emplace(std::move(core)); }
  // Precondition: Streaming and begun.
  [[nodiscard]] StreamCore& core() { return *core_; }
  [[nodiscard]] bool has_core() const { return core_.has_value(); }

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] const tls::Connection& tls() const { return tls_; }
  // More input is there than one turn may take: call on_ready() again in the next turn.
  [[nodiscard]] bool hungry() const { return hungry_; }
  // The epoll events to wait for.
  [[nodiscard]] std::uint32_t interest() const;
  [[nodiscard]] Instant next_deadline() const;
  // Why it is Dead when no core could say so.
  [[nodiscard]] const Error& failure() const { return failure_; }

  // The loop's own notes.
  std::uint32_t armed = 0;  // what epoll was last told
  bool queued = false;      // stands in the list of hungry links

 private:
  void connect_step();
  void handshake_step();
  void read_step(Instant now, std::span<std::byte> scratch, Effects& effects);
  void linger_step(std::span<std::byte> scratch);
  // The connection has failed; the core, if any, says so.
  void lost(Error error, Effects& effects);
  void end(Instant now);

  std::uint64_t id_;
  UniqueFd socket_;
  tls::Connection tls_;  // after socket_: must go first
  std::optional<StreamCore> core_;
  Instant deadline_;  // of every phase but Streaming
  Error failure_;
  Phase phase_;
  bool want_write_ = false;
  bool hungry_ = false;
};

}  // namespace common::stream
