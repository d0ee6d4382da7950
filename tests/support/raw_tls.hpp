#pragma once

// RawPeer for tests that play scripts, on either side of a connection: a failure is an empty answer
// or `false`, so that they read plainly. And a server that plays one.

#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "common/rpc/socket.hpp"
#include "tests/support/raw_peer.hpp"

namespace test_support {

class RawTls {
 public:
  // Dials and shakes hands; `good()` says whether that worked.
  RawTls(const common::tls::ContextPtr& context, std::uint16_t port)
      : RawTls(RawPeer::dial_tls(port, context)) {}
  // The server's side of an accepted socket.
  RawTls(const common::tls::ContextPtr& context, common::UniqueFd socket)
      : RawTls(RawPeer::accept_tls(std::move(socket), context)) {}
  ~RawTls() { hang_up(); }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;

  [[nodiscard]] bool good() const { return peer_.has_value(); }
  [[nodiscard]] int fd() const { return peer_->fd(); }

  // One record for one call. False once the peer is gone.
  bool send(std::string_view text) { return peer_->send(text).has_value(); }

  // Reads until `done(received)`; what was received, even if the peer closed or time ran out.
  std::string receive_until(const std::function<bool(std::string_view)>& done) {
    std::string received;
    while (!done(received)) {
      const auto some = peer_->read_some();
      closed_ = closed_ || (some && some->empty());
      if (!some || some->empty())
        break;
      received += *some;
    }
    return received;
  }
  // One whole HTTP message with a Content-Length.
  std::string receive_message() { return peer_->read_reply().value_or(""); }
  // Everything until the peer closes; closed() tells whether it did.
  std::string receive_all() {
    return receive_until([](std::string_view) { return false; });
  }
  [[nodiscard]] bool closed() const { return closed_; }

  // Says that nothing more will come, and goes on reading.
  void close_notify() {
    if (peer_)
      peer_->tls()->close_notify();
  }
  void hang_up() {
    close_notify();
    drop();
  }
  // Without a goodbye.
  void drop() { peer_.reset(); }
  // So that the peer sees a reset.
  void reset() {
    peer_->reset();
    drop();
  }

 private:
  explicit RawTls(common::Result<RawPeer> peer) {
    if (peer)
      peer_.emplace(*std::move(peer));
  }

  std::optional<RawPeer> peer_;
  bool closed_ = false;
};

// A server that plays a script: the n-th connection is handed to the script with its number. One
// connection after the other.
class ScriptedServer {
 public:
  using Script = std::function<void(RawTls&, int)>;

  ScriptedServer(common::tls::ContextPtr context, Script script)
      : context_(std::move(context)), script_(std::move(script)) {
    auto listener = common::rpc::listen_on("127.0.0.1", 0);
    if (!listener)
      throw std::runtime_error(listener.error().message);
    listener_ = *std::move(listener);
    thread_ = std::thread([this] { main(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.fd.get(), SHUT_RDWR);
    thread_.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return listener_.port; }

 private:
  void main() {
    for (int number = 0;; ++number) {
      (void)common::rpc::wait_for(listener_.fd.get(), POLLIN,
                                  common::rpc::now() + std::chrono::seconds(60));
      common::UniqueFd socket(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket.valid())
        return;
      RawTls peer(context_, std::move(socket));
      if (peer.good())
        script_(peer, number);
    }
  }

  common::tls::ContextPtr context_;
  Script script_;
  common::rpc::Listener listener_;
  std::thread thread_;
};

// An HTTP reply with a JSON body.
inline std::string http_json(int status, std::string_view body, std::string_view extra = {}) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(extra) + "\r\n" + std::string(body);
}

}  // namespace test_support
