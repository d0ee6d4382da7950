#include "tests/support/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <thread>
#include <vector>

#include "common/io/unique_fd.hpp"
#include "common/sync/locked.hpp"

namespace test_support {
namespace {

using common::UniqueFd;
using Time = std::chrono::steady_clock::time_point;

// Held bytes per direction of a connection; when full, the sender's own socket buffer fills.
constexpr std::size_t kMaxHeld = 1U << 20;
constexpr std::size_t kPiece = 64 * 1024;

std::size_t index(Direction direction) {
  return static_cast<std::size_t>(direction);
}

struct Piece {
  Time due;
  std::string bytes;
};

// One direction of one connection.
struct Flow {
  std::deque<Piece> held;
  std::size_t held_bytes = 0;
  std::uint64_t forwarded = 0;
  Time next_allowed{};  // for the rate
  bool source_ended = false;
  bool closed = false;  // the end has gone on
};

struct Connection {
  std::array<UniqueFd, 2> ends;  // [index(direction)] receives that direction's bytes
  std::array<Flow, 2> flows;
  bool dead = false;

  [[nodiscard]] int source(std::size_t i) const { return ends[1 - i].get(); }
  [[nodiscard]] int sink(std::size_t i) const { return ends[i].get(); }
};

struct State {
  std::array<Path, 2> paths;
  bool refused = false;
  bool reset_all = false;
  bool quit = false;
  std::uint64_t accepted = 0;
  std::uint64_t open = 0;
  std::array<std::uint64_t, 2> arrived{};
  std::array<std::uint64_t, 2> forwarded{};
};

// Closing such a socket sends a reset instead of an end.
void make_reset_on_close(int fd) {
  const linger hard{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

struct TcpProxy::Impl {
  UniqueFd listener;
  UniqueFd wake;
  std::uint16_t port = 0;
  sockaddr_in target{};
  common::Locked<State> state;
  common::CondVar changed;
  std::vector<std::unique_ptr<Connection>> connections;  // of the proxy's thread
  std::thread thread;

  void wake_up() const {
    const std::uint64_t one = 1;
    if (::write(wake.get(), &one, sizeof(one)) < 0) {
      // The counter is full, so the thread is awake.
    }
  }
  void main_loop();
  int collect(std::vector<pollfd>& wanted, const std::array<Path, 2>& paths) const;
  void accept_one(bool refused);
  void kill(Connection& connection) const;
  void receive(Connection& connection, std::size_t i, const Path& path);
  void forward(Connection& connection, std::size_t i, const Path& path);
  bool cut(Connection& connection, std::size_t i, const Path& path) const;
};

void TcpProxy::Impl::kill(Connection& connection) const {
  for (UniqueFd& end : connection.ends) {
    make_reset_on_close(end.get());
    end.reset();
  }
  connection.dead = true;
}

void TcpProxy::Impl::accept_one(bool refused) {
  UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.valid())
    return;
  UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool connected =
      !refused &&
      ::connect(server.get(), reinterpret_cast<const sockaddr*>(&target), sizeof(target)) == 0;
  state.lock()->accepted++;
  if (!connected) {
    make_reset_on_close(client.get());
    return;
  }
  const int on = 1;
  ::ioctl(server.get(), FIONBIO, &on);
  set_no_delay(client.get());
  set_no_delay(server.get());
  auto connection = std::make_unique<Connection>();
  connection->ends[index(Direction::ToClient)] = std::move(client);
  connection->ends[index(Direction::ToServer)] = std::move(server);
  connections.push_back(std::move(connection));
}

void TcpProxy::Impl::receive(Connection& connection, std::size_t i, const Path& path) {
  Flow& flow = connection.flows[i];
  std::string bytes(kPiece, '\0');
  const ssize_t n = ::recv(connection.source(i), bytes.data(), bytes.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0) {
    kill(connection);
    return;
  }
  if (n == 0) {
    flow.source_ended = true;
    return;
  }
  bytes.resize(static_cast<std::size_t>(n));
  state.lock()->arrived[i] += bytes.size();
  changed.notify_all();
  if (path.swallow)
    return;
  flow.held_bytes += bytes.size();
  flow.held.push_back({std::chrono::steady_clock::now() + path.delay, std::move(bytes)});
}

// Ends the flow as the path says, if its byte has been reached.
bool TcpProxy::Impl::cut(Connection& connection, std::size_t i, const Path& path) const {
  Flow& flow = connection.flows[i];
  if (!path.cut_after || flow.forwarded < *path.cut_after)
    return false;
  if (!path.half_close) {
    kill(connection);
  } else if (!flow.closed) {
    ::shutdown(connection.sink(i), SHUT_WR);
    flow.closed = true;
  }
  return true;
}

void TcpProxy::Impl::forward(Connection& connection, std::size_t i, const Path& path) {
  Flow& flow = connection.flows[i];
  if (flow.closed || cut(connection, i, path) || path.stalled)
    return;
  const Time now = std::chrono::steady_clock::now();
  while (!flow.held.empty() && flow.held.front().due <= now && flow.next_allowed <= now) {
    Piece& piece = flow.held.front();
    std::size_t length = piece.bytes.size();
    if (path.cut_after)
      length = std::min<std::uint64_t>(length, *path.cut_after - flow.forwarded);
    // A tenth of a second's worth at a time, so that a slow path drips and does not burst.
    if (path.bytes_per_second)
      length =
          std::min<std::uint64_t>(length, std::max<std::uint64_t>(1, *path.bytes_per_second / 10));
    const ssize_t n = ::send(connection.sink(i), piece.bytes.data(), length, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (n < 0) {
      kill(connection);
      return;
    }
    const auto sent = static_cast<std::size_t>(n);
    piece.bytes.erase(0, sent);
    flow.held_bytes -= sent;
    flow.forwarded += sent;
    if (path.bytes_per_second)
      flow.next_allowed =
          now + std::chrono::nanoseconds(1'000'000'000 * sent / *path.bytes_per_second);
    state.lock()->forwarded[i] += sent;
    if (piece.bytes.empty())
      flow.held.pop_front();
    if (cut(connection, i, path))
      return;
  }
  if (flow.source_ended && flow.held.empty()) {
    ::shutdown(connection.sink(i), SHUT_WR);
    flow.closed = true;
  }
}

// What to poll for; returns the milliseconds until some held piece is due, or -1.
int TcpProxy::Impl::collect(std::vector<pollfd>& wanted, const std::array<Path, 2>& paths) const {
  wanted.assign({pollfd{wake.get(), POLLIN, 0}, pollfd{listener.get(), POLLIN, 0}});
  const Time now = std::chrono::steady_clock::now();
  std::optional<Time> next;
  for (const auto& connection : connections) {
    for (std::size_t i = 0; i < 2; ++i) {
      const Flow& flow = connection->flows[i];
      short events = 0;
      if (!flow.source_ended && flow.held_bytes < kMaxHeld)
        events |= POLLIN;
      const Flow& opposite = connection->flows[1 - i];
      if (!opposite.closed && !opposite.held.empty() && !paths[1 - i].stalled) {
        const Time due = std::max(opposite.held.front().due, opposite.next_allowed);
        if (due <= now)
          events |= POLLOUT;
        else
          next = std::min(next.value_or(due), due);
      }
      // A hang-up cannot be unselected, so a finished end is left out altogether.
      wanted.push_back({events != 0 ? connection->source(i) : -1, events, 0});
    }
  }
  if (!next)
    return -1;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*next - now).count());
}

void TcpProxy::Impl::main_loop() {
  std::vector<pollfd> wanted;
  for (;;) {
    std::array<Path, 2> paths;
    bool refused = false;
    {
      auto held = state.lock();
      if (held->quit)
        return;
      paths = held->paths;
      refused = held->refused;
      if (std::exchange(held->reset_all, false))
        for (auto& connection : connections)
          kill(*connection);
    }
    for (auto& connection : connections)
      for (std::size_t i = 0; i < 2 && !connection->dead; ++i)
        forward(*connection, i, paths[i]);
    std::erase_if(connections, [](const auto& connection) {
      return connection->dead || (connection->flows[0].closed && connection->flows[1].closed);
    });
    state.lock()->open = connections.size();
    changed.notify_all();
    const int timeout = collect(wanted, paths);
    if (::poll(wanted.data(), wanted.size(), timeout) < 0)
      continue;
    const std::size_t known = connections.size();
    std::uint64_t count = 0;
    if (wanted[0].revents != 0 && ::read(wake.get(), &count, sizeof(count)) < 0)
      continue;
    {
      // What was set before a byte or a client came holds for it.
      auto held = state.lock();
      paths = held->paths;
      refused = held->refused;
    }
    for (std::size_t c = 0; c < known; ++c)
      for (std::size_t i = 0; i < 2 && !connections[c]->dead; ++i)
        if ((wanted[2 + 2 * c + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            !connections[c]->flows[i].source_ended)
          receive(*connections[c], i, paths[i]);
    if (wanted[1].revents != 0)
      accept_one(refused);
  }
}

TcpProxy::TcpProxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

common::Result<std::unique_ptr<TcpProxy>> TcpProxy::start(std::string address, std::uint16_t port) {
  auto impl = std::make_unique<Impl>();
  impl->target.sin_family = AF_INET;
  impl->target.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &impl->target.sin_addr) != 1)
    return common::fail(common::ErrorCode::InvalidArgument, "'{}' is no IPv4 address", address);
  impl->listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(own);
  if (::bind(impl->listener.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0 ||
      ::listen(impl->listener.get(), 128) != 0 ||
      ::getsockname(impl->listener.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0)
    return common::fail_errno(errno, "listen for the proxy");
  impl->port = ntohs(own.sin_port);
  impl->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  impl->thread = std::thread([state = impl.get()] { state->main_loop(); });
  return std::unique_ptr<TcpProxy>(new TcpProxy(std::move(impl)));
}

TcpProxy::~TcpProxy() {
  impl_->state.lock()->quit = true;
  impl_->wake_up();
  impl_->thread.join();
}

std::uint16_t TcpProxy::port() const {
  return impl_->port;
}

void TcpProxy::set(Direction direction, const Path& path) {
  impl_->state.lock()->paths[index(direction)] = path;
  impl_->wake_up();
}

void TcpProxy::clear() {
  impl_->state.lock()->paths = {};
  impl_->wake_up();
}

void TcpProxy::reset_all() {
  impl_->state.lock()->reset_all = true;
  impl_->wake_up();
}

void TcpProxy::refuse(bool refused) {
  impl_->state.lock()->refused = refused;
  impl_->wake_up();
}

std::uint64_t TcpProxy::connections() const {
  return impl_->state.lock()->accepted;
}
std::uint64_t TcpProxy::open_connections() const {
  return impl_->state.lock()->open;
}
std::uint64_t TcpProxy::bytes(Direction direction) const {
  return impl_->state.lock()->forwarded[index(direction)];
}

bool TcpProxy::wait_arrived(Direction direction, std::uint64_t count,
                            std::chrono::nanoseconds timeout) {
  return impl_->state.lock().wait_for(impl_->changed, timeout, [&](const State& state) {
    return state.arrived[index(direction)] >= count;
  });
}

}  // namespace test_support
