#pragma once

// One accepted connection: TLS, buffers, and which phase of which request it is in. Internal to
// the server.
//
// Owned by the ConnectionTable; used by one thread at a time, whoever has claimed it there.

#include <sys/epoll.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/io/unique_fd.hpp"
#include "common/rpc/byte_buffer.hpp"
#include "common/rpc/head_guard.hpp"
#include "common/rpc/in_flight.hpp"
#include "common/rpc/operations.hpp"
#include "common/rpc/parked.hpp"
#include "common/rpc/server.hpp"
#include "common/rpc/server_stats.hpp"
#include "common/rpc/socket.hpp"
#include "common/tls/connection.hpp"

namespace common::rpc {

// What all connections of one server share.
struct ServerShared {
  ServerLimits limits;
  OperationTable operations;
  std::shared_ptr<tls::ReloadableContext> tls;
  std::uint64_t epoch = 0;
  ServerCounters counters;
  std::atomic<std::uint64_t> collected_bytes{0};
  InFlight in_flight;
  const std::shared_ptr<WokenList> woken = std::make_shared<WokenList>();
  std::atomic<std::size_t> parked_places{0};  // calls that have parked and not ended
  std::atomic<std::size_t> parked_now{0};     // those that wait
  std::atomic<bool> stopping{false};
};

// What the connections of one address hold of what all share.
struct AddressShare {
  std::atomic<std::uint64_t> collected_bytes{0};
  std::atomic<std::size_t> parked_places{0};
};

// `base` plus what `bytes` may take at the slowest rate we put up with.
Duration transfer_time(const ServerLimits& limits, std::uint64_t bytes);

class ServerConnection final : public Peer {
 public:
  enum class Phase : std::uint8_t {
    Handshake,
    Idle,
    Head,
    Body,
    Executing,
    Parked,  // its call waits for others
    Reply,
    Drain,
  };
  enum class Step : std::uint8_t {
    WantRead,   // park it until it is readable
    WantWrite,  // park it until it is writable
    Secured,    // the handshake is done; once for each connection
    Replied,    // a reply has gone out and no further request has been received
    Request,    // a whole request (for streamed operations: its head) is there: execute it
    Parked,     // the call has parked: hand it back with its state
    Close,      // destroy it
  };

  ServerConnection(std::uint64_t id, UniqueFd socket, Origin origin, ServerShared& shared,
                   std::shared_ptr<AddressShare> share);
  ~ServerConnection() override;

  // Peer.
  [[nodiscard]] const std::string& address() const override { return origin_.address; }
  [[nodiscard]] const std::optional<tls::PeerCertificate>& certificate() const override {
    return certificate_;
  }
  [[nodiscard]] Result<std::array<std::byte, 32>> channel_binding() const override;

  // Does everything that can be done without waiting.
  [[nodiscard]] Step advance();

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const Origin& origin() const { return origin_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] Instant deadline() const { return deadline_; }  // of the phase
  // Bytes were received that have not been looked at: the socket may never become readable again.
  [[nodiscard]] bool has_pending() const { return tls_->has_pending(); }
  // An operation has answered on it, so whoever is there calls as one should.
  [[nodiscard]] bool has_answered() const { return answered_; }
  [[nodiscard]] Instant idle_since() const { return idle_since_; }

  // The request that Step::Request announced.
  [[nodiscard]] const Operation& operation() const { return *operation_; }
  [[nodiscard]] std::string_view http_head() const { return in_.view().substr(0, head_.size); }
  [[nodiscard]] std::string_view json_head() const;
  [[nodiscard]] std::span<const std::byte> collected_bytes() const;  // raw bytes, not streamed
  [[nodiscard]] std::uint64_t raw_size() const { return raw_size_; }
  [[nodiscard]] Instant arrived() const { return arrived_; }  // when the head was complete
  // What its session was found to be before the body was received; a failure is its only answer.
  [[nodiscard]] const Status& admitted() const { return admitted_; }
  [[nodiscard]] bool asked_to_close() const { return head_.close; }
  // The next raw bytes of a streamed request; blocks. 0 at the end.
  [[nodiscard]] Result<std::size_t> read_raw(std::span<std::byte> into);
  // Every byte of the request has been received.
  [[nodiscard]] bool request_is_read() const;
  [[nodiscard]] bool peer_is_gone() const;

  // The state of its call, once that has parked, until it has been answered.
  [[nodiscard]] const std::shared_ptr<Parked>& parked() const { return parked_; }
  // Room among the parked calls, kept until the call ends; false: there is none.
  [[nodiscard]] bool reserve_parking();
  // The call leaves its worker. The request stays as it is, in no more memory than it needs.
  void park(std::shared_ptr<Parked> state, Instant until);
  // Its handler is about to be run again.
  void resume() { phase_ = Phase::Executing; }
  // While it was parked the peer went away.
  void note_hang_up() { hung_up_ = true; }
  [[nodiscard]] bool hung_up() const { return hung_up_; }

  // The answer: append to out(), then finish(). For large replies write_now() sends out() and then
  // `bytes`, blocking until `deadline`.
  [[nodiscard]] std::string& out() { return out_; }
  [[nodiscard]] Status write_now(std::span<const std::byte> bytes, Instant deadline);
  // The request is done. With `close` the connection ends once out() has been sent.
  void finish_request(bool close);
  // Answers with an error of the protocol and closes.
  void refuse(int status, const Error& error);

  // Waits a moment for the next request, instead of parking.
  [[nodiscard]] bool wait_readable(Duration for_at_most);
  // Before parking: gives back what an idle connection does not need.
  void release_buffers();

  // Makes pending and future waits end; the only method for other threads, and only while the
  // table's lock shows that the connection exists.
  void abort();

 private:
  using Advance = std::optional<Step>;  // nullopt: go on in the new phase

  Advance advance_handshake();
  Advance advance_head();
  Advance advance_body();
  Advance advance_reply();
  Advance advance_drain();
  Advance receive();

  void begin_request(const RequestHead& head);
  bool admit(const RequestHead& head);
  bool admit_caller(const RequestHead& head);
  bool has_request_head(const RequestHead& head);
  [[nodiscard]] Status check_receiving() const;
  [[nodiscard]] Instant receive_deadline() const;
  bool frame_raw_bytes();
  bool account(std::size_t held);
  bool reserve(std::size_t more);
  void end_parking();
  void begin_reply(bool close);
  void begin_idle();

  const std::uint64_t id_;
  UniqueFd socket_;
  Origin origin_;
  ServerShared& shared_;
  const std::shared_ptr<AddressShare> share_;
  tls::ContextPtr context_;
  std::optional<tls::Connection> tls_;
  std::optional<tls::PeerCertificate> certificate_;

  Phase phase_ = Phase::Handshake;
  Instant deadline_;
  Instant idle_since_{};
  std::atomic<bool> aborted_{false};

  ByteBuffer in_;
  std::string out_;
  std::size_t out_at_ = 0;

  // The request in progress. The views in head_ are void once more bytes have been received.
  RequestHead head_;
  const Operation* operation_ = nullptr;
  Status admitted_;
  Instant arrived_{};
  Instant body_deadline_{};
  std::size_t needed_ = 0;   // bytes in in_ before it can be executed
  std::size_t json_at_ = 0;  // where the JSON head begins in in_
  std::size_t json_size_ = 0;
  std::uint64_t raw_size_ = 0;
  std::uint64_t raw_read_ = 0;  // streamed: drawn so far
  bool framed_ = false;         // the length before the JSON head has been read
  bool close_after_ = false;
  bool answered_ = false;
  bool hung_up_ = false;
  bool has_parking_ = false;
  std::shared_ptr<Parked> parked_;
  std::size_t accounted_ = 0;  // our part of shared_.collected_bytes and of share_
  std::size_t drained_ = 0;
};

}  // namespace common::rpc
