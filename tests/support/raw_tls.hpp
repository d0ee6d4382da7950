#pragma once

// A TLS peer that says exactly what a test wants, for either side of a connection. Blocking, with
// a deadline on everything; a failure is an empty answer or `false`, so that tests read plainly.

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "common/rpc/socket.hpp"
#include "common/tls/connection.hpp"

namespace test_support {

class RawTls {
 public:
  static constexpr std::chrono::seconds kLimit{10};

  // Dials and shakes hands; `good()` says whether that worked.
  RawTls(const common::tls::ContextPtr& context, std::uint16_t port) {
    auto dialled = common::rpc::dial("127.0.0.1", port, common::rpc::now() + kLimit);
    if (!dialled)
      return;
    socket_ = *std::move(dialled);
    auto session = common::tls::Connection::connect(context, socket_.get(), "127.0.0.1");
    if (session)
      shake(*std::move(session));
  }
  // The server's side of an accepted socket.
  RawTls(const common::tls::ContextPtr& context, common::UniqueFd socket)
      : socket_(std::move(socket)) {
    auto session = common::tls::Connection::accept(context, socket_.get());
    if (session)
      shake(*std::move(session));
  }
  ~RawTls() { hang_up(); }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;

  [[nodiscard]] bool good() const { return tls_.has_value(); }
  [[nodiscard]] int fd() const { return socket_.get(); }

  // One record for one call. False once the peer is gone.
  bool send(std::string_view text) {
    auto left = std::as_bytes(std::span(text.data(), text.size()));
    while (!left.empty()) {
      const auto step = tls_->write(left);
      if (!step || step->closed)
        return false;
      left = left.subspan(step->done);
      if (step->done == 0 && !wait(step->want_read ? POLLIN : POLLOUT))
        return false;
    }
    return true;
  }

  // Reads until `done(received)`; what was received, even if the peer closed or time ran out.
  std::string receive_until(const std::function<bool(std::string_view)>& done) {
    std::string received;
    std::byte buffer[16384];
    while (!done(received)) {
      const auto step = tls_->read(buffer);
      if (!step || step->closed) {
        closed_ = true;
        break;
      }
      received.append(reinterpret_cast<const char*>(buffer), step->done);
      if (step->done == 0 && !wait(step->want_write ? POLLOUT : POLLIN))
        break;
    }
    return received;
  }
  // One whole HTTP message with a Content-Length.
  std::string receive_message() {
    return receive_until([](std::string_view text) {
      const auto head = text.find("\r\n\r\n");
      const auto length = text.find("Content-Length: ");
      if (head == std::string_view::npos || length > head)
        return false;
      const auto size = std::stoul(std::string(text.substr(length + 16, 20)));
      return text.size() >= head + 4 + size;
    });
  }
  // Everything until the peer closes; closed() tells whether it did.
  std::string receive_all() {
    return receive_until([](std::string_view) { return false; });
  }
  [[nodiscard]] bool closed() const { return closed_; }

  // Says that nothing more will come, and goes on reading.
  void close_notify() {
    if (tls_)
      tls_->close_notify();
  }
  void hang_up() {
    close_notify();
    drop();
  }
  // Without a goodbye.
  void drop() {
    tls_.reset();
    socket_.reset();
  }
  // So that the peer sees a reset.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    drop();
  }

 private:
  bool wait(short events) {
    return common::rpc::wait_for(socket_.get(), events, common::rpc::now() + kLimit) ==
           common::rpc::Ready::Yes;
  }
  void shake(common::tls::Connection session) {
    for (;;) {
      const auto step = session.handshake();
      if (!step || step->closed)
        return;
      if (step->finished())
        break;
      if (!wait(step->want_write ? POLLOUT : POLLIN))
        return;
    }
    tls_.emplace(std::move(session));
  }

  common::UniqueFd socket_;
  std::optional<common::tls::Connection> tls_;
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
