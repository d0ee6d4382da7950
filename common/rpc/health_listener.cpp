#include "common/rpc/health_listener.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <new>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/log/log.hpp"
#include "common/rpc/protocol.hpp"
#include "common/rpc/socket.hpp"
#include "common/rpc/worker_threads.hpp"
#include "common/tls/connection.hpp"

namespace common::rpc {
namespace {

// A scraper and a person or two; more than this are closed at once.
constexpr std::size_t kMaxConnections = 16;
// For the whole of a connection, from accept to close.
constexpr std::chrono::milliseconds kConnectionLimit{3'000};
constexpr std::size_t kMaxRequestBytes = 4096;
constexpr std::chrono::hours kLongestPause{1};

std::string http_reply(int status, std::string_view reason, std::string_view type,
                       std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, reason, type, body.size(), body);
}

}  // namespace

class HealthListener::Impl {
 public:
  Impl(HealthListenerOptions options, std::function<std::string()> metrics_text,
       std::function<HealthReport()> health)
      : options_(std::move(options)),
        metrics_text_(std::move(metrics_text)),
        health_(std::move(health)) {}
  ~Impl() { stop(); }

  Status start();
  void stop();
  [[nodiscard]] std::uint16_t port() const { return listener_.port; }

 private:
  struct Connection {
    UniqueFd socket;
    std::optional<tls::Connection> tls;
    bool shaken = false;
    std::string in;
    std::string out;
    std::size_t out_at = 0;
    Instant deadline;
    short wants = POLLIN;
  };

  void thread_main();
  void wait();
  void try_accept();
  void accept_some();
  [[nodiscard]] bool try_step(Connection& connection);
  [[nodiscard]] bool step(Connection& connection);  // false: finished with it
  [[nodiscard]] bool shake(Connection& connection);
  [[nodiscard]] bool read_request(Connection& connection);
  [[nodiscard]] bool write_reply(Connection& connection);
  [[nodiscard]] std::string answer(std::string_view request_line);

  const HealthListenerOptions options_;
  const std::function<std::string()> metrics_text_;
  const std::function<HealthReport()> health_;
  Listener listener_;
  UniqueFd stop_event_;
  std::list<Connection> connections_;  // the thread's own
  std::vector<pollfd> poll_fds_;       // the thread's own
  WorkerThreads thread_;
};

Status HealthListener::Impl::start() {
  const bool guarded = options_.tls && options_.tls->current()->client_certificates() ==
                                           tls::ClientCertificates::Required;
  if (!is_loopback(options_.address) && !guarded) {
    return fail(ErrorCode::InvalidArgument,
                "health and metrics are not served on {} without TLS and required client "
                "certificates; use a loopback address",
                options_.address);
  }
  TROTH_TRY(listener_, listen_on(options_.address, options_.port));
  stop_event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event_.valid())
    return fail_errno(errno, "eventfd");
  poll_fds_.reserve(kMaxConnections + 2);  // waiting needs no memory later
  if (!thread_.start("rpc-health", 1, [this] { thread_main(); })) {
    return fail(ErrorCode::ResourceExhausted, "cannot start the health listener's thread");
  }
  return {};
}

void HealthListener::Impl::stop() {
  if (!stop_event_.valid())
    return;
  const std::uint64_t one = 1;
  (void)!::write(stop_event_.get(), &one, sizeof one);
  thread_.join_all();
  listener_.fd.reset();
}

void HealthListener::Impl::wait() {
  poll_fds_.clear();
  poll_fds_.push_back({stop_event_.get(), POLLIN, 0});
  poll_fds_.push_back({listener_.fd.get(), POLLIN, 0});
  Instant first = now() + kLongestPause;
  for (const Connection& connection : connections_) {
    poll_fds_.push_back({connection.socket.get(), connection.wants, 0});
    first = std::min(first, connection.deadline);
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - now());
  (void)::poll(poll_fds_.data(), poll_fds_.size(),
               static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
}

void HealthListener::Impl::thread_main() {
  for (;;) {
    wait();
    if (poll_fds_[0].revents != 0)
      break;
    std::size_t at = 2;
    const Instant time = now();
    for (auto connection = connections_.begin(); connection != connections_.end(); ++at) {
      const bool ready = poll_fds_[at].revents != 0;
      const bool stays = time < connection->deadline && (!ready || try_step(*connection));
      if (!stays && connection->tls)
        connection->tls->close_notify();
      if (!stays)
        connection->tls.reset();
      connection = stays ? std::next(connection) : connections_.erase(connection);
    }
    if (poll_fds_[1].revents != 0)
      try_accept();
  }
  connections_.clear();
}

void HealthListener::Impl::accept_some() {
  UniqueFd socket(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    // Descriptors are short: give those who have some a moment, unless we are to stop.
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      (void)wait_for(stop_event_.get(), POLLIN, now() + std::chrono::milliseconds(50));
    }
    return;
  }
  if (connections_.size() >= kMaxConnections)
    return;
  Connection connection;
  connection.deadline = now() + kConnectionLimit;
  if (options_.tls) {
    auto session = tls::Connection::accept(options_.tls->current(), socket.get());
    if (!session)
      return;
    connection.tls.emplace(*std::move(session));
  } else {
    connection.shaken = true;
  }
  connection.socket = std::move(socket);
  connections_.push_back(std::move(connection));
}

// Short memory ends a connection, not the program.
bool HealthListener::Impl::try_step(Connection& connection) {
  try {
    return step(connection);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void HealthListener::Impl::try_accept() {
  try {
    accept_some();
  } catch (const std::bad_alloc&) {
    log::warn("memory is short, a health check was turned away");
  }
}

bool HealthListener::Impl::step(Connection& connection) {
  if (!connection.shaken && !shake(connection))
    return false;
  if (!connection.shaken)
    return true;
  if (connection.out.empty() && !read_request(connection))
    return false;
  return connection.out.empty() || write_reply(connection);
}

bool HealthListener::Impl::shake(Connection& connection) {
  const auto progress = connection.tls->handshake();
  if (!progress || progress->closed)
    return false;
  connection.wants = progress->want_write ? POLLOUT : POLLIN;
  connection.shaken = progress->finished();
  return true;
}

bool HealthListener::Impl::read_request(Connection& connection) {
  std::byte buffer[kMaxRequestBytes];
  for (;;) {
    std::size_t got = 0;
    if (connection.tls) {
      const auto progress = connection.tls->read(buffer);
      if (!progress || progress->closed)
        return false;
      got = progress->done;
    } else {
      const ssize_t received = ::recv(connection.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
        return false;
      got = received < 0 ? 0 : static_cast<std::size_t>(received);
    }
    if (got == 0)
      return true;
    connection.in.append(reinterpret_cast<const char*>(buffer), got);
    if (connection.in.find("\r\n\r\n") != std::string::npos) {
      connection.out = answer(connection.in.substr(0, connection.in.find("\r\n")));
      return true;
    }
    if (connection.in.size() > kMaxRequestBytes)
      return false;
  }
}

bool HealthListener::Impl::write_reply(Connection& connection) {
  connection.wants = POLLOUT;
  while (connection.out_at < connection.out.size()) {
    const auto rest = std::as_bytes(std::span(connection.out).subspan(connection.out_at));
    if (connection.tls) {
      const auto progress = connection.tls->write(rest);
      if (!progress || progress->closed)
        return false;
      if (progress->done == 0)
        return true;
      connection.out_at += progress->done;
    } else {
      const ssize_t sent =
          ::send(connection.socket.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
      connection.out_at += static_cast<std::size_t>(sent);
    }
  }
  return false;
}

std::string HealthListener::Impl::answer(std::string_view request_line) {
  const auto is_get = [&](std::string_view path) {
    return request_line == fmt::format("GET {} HTTP/1.1", path) ||
           request_line == fmt::format("GET {} HTTP/1.0", path);
  };
  try {
    if (is_get("/metrics")) {
      return http_reply(200, "OK", "text/plain; version=0.0.4", metrics_text_());
    }
    if (is_get("/health")) {
      const HealthReport report = health_();
      // Only the text goes through the library: its lists leak when memory runs out in them.
      const std::string body =
          fmt::format("{{\"message\":{},\"ready\":{}}}\n",
                      nlohmann::json(report.message)
                          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                      report.ready);
      return report.ready ? http_reply(200, "OK", "application/json", body)
                          : http_reply(503, "Service Unavailable", "application/json", body);
    }
  } catch (const std::exception& exception) {
    log::error("an exception left a health report", {{"exception", exception.what()}});
    return http_reply(500, "Internal Server Error", "text/plain", "internal error\n");
  }
  return http_reply(404, "Not Found", "text/plain", "only GET /metrics and GET /health\n");
}

HealthListener::HealthListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HealthListener::~HealthListener() = default;

Result<std::unique_ptr<HealthListener>> HealthListener::start(
    HealthListenerOptions options, std::function<std::string()> metrics_text,
    std::function<HealthReport()> health) {
  auto impl =
      std::make_unique<Impl>(std::move(options), std::move(metrics_text), std::move(health));
  TROTH_TRY_VOID(impl->start());
  return std::unique_ptr<HealthListener>(new HealthListener(std::move(impl)));
}

std::uint16_t HealthListener::port() const {
  return impl_->port();
}
void HealthListener::stop() {
  impl_->stop();
}

}  // namespace common::rpc
