#include "common/rpc/server.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/log/log.hpp"
#include "common/rpc/connection_table.hpp"
#include "common/rpc/dispatcher.hpp"
#include "common/rpc/reception.hpp"
#include "common/rpc/woken_calls.hpp"
#include "common/rpc/worker_threads.hpp"

namespace common::rpc {
namespace {

// Names in the epoll set; connections have ids above the table's first.
constexpr std::uint64_t kWorkersStopId = 2;
constexpr std::uint64_t kWokenId = 3;

// Started at once; more are added whenever the last waiting one gets work.
constexpr std::size_t kFirstThreads = 2;
// How long a worker stays with a connection whose request it has just answered. The next request of
// a busy caller comes within some 100 microseconds; going through the epoll set instead costs two
// system calls and often another thread's wake-up.
constexpr std::chrono::milliseconds kLinger{2};
// Woken calls go before new ones, but a worker that has run so many of them in a row looks at what
// else there is: handlers that wake each other for ever must not shut everybody out.
constexpr int kWokenInRow = 64;

WallTime started_at() {
  return SystemClock().wall_now();
}

}  // namespace

class Server::Impl {
 public:
  explicit Impl(ServerOptions options) : options_(std::move(options)) {}
  ~Impl() {
    stop();
    shared_.woken->close();
  }

  Status start(OperationTable operations);
  void stop();

  [[nodiscard]] std::uint16_t port() const { return listener_.port; }
  [[nodiscard]] std::uint64_t epoch() const { return shared_.epoch; }
  Status reload_tls() { return options_.tls->reload(); }
  std::size_t shed(std::size_t count) { return table_->shed(count); }
  [[nodiscard]] ServerStats stats() const;

 private:
  Status add_status_operation(OperationTable& operations);
  Reply status() const;
  Status open_epoll();
  bool add_worker() noexcept;
  void worker_main();
  void begin_work();
  void handle(std::uint64_t id);
  bool run_woken();
  void serve(ServerConnection& connection, std::optional<WokenCalls::Turn> turn = std::nullopt);
  void serve_until_parked(ServerConnection& connection);
  [[nodiscard]] bool may_linger() const;

  ServerOptions options_;
  ServerShared shared_;
  Instant started_boot_{};
  Listener listener_;
  UniqueFd handshake_epoll_;
  UniqueFd epoll_;
  UniqueFd stop_event_;
  std::unique_ptr<Dispatcher> dispatcher_;
  WokenCalls woken_calls_{shared_};
  std::unique_ptr<ConnectionTable> table_;
  std::unique_ptr<Reception> reception_;
  std::atomic<std::size_t> waiting_{0};  // workers waiting for something to do
  std::atomic<std::size_t> started_workers_{0};
  WorkerThreads sweeper_;
  WorkerThreads workers_;
};

Status Server::Impl::start(OperationTable operations) {
  if (!options_.tls)
    return fail(ErrorCode::InvalidArgument, "a server needs a TLS context");
  TROTH_TRY_VOID(add_status_operation(operations));
  started_boot_ = now();
  shared_.limits = options_.limits;
  shared_.operations = std::move(operations);
  shared_.tls = options_.tls;
  shared_.epoch = options_.epoch != 0
                      ? options_.epoch
                      : static_cast<std::uint64_t>(started_at().time_since_epoch().count());
  TROTH_TRY(listener_, listen_on(options_.address, options_.port));
  TROTH_TRY_VOID(open_epoll());
  dispatcher_ = std::make_unique<Dispatcher>(shared_);
  table_ = std::make_unique<ConnectionTable>(shared_, handshake_epoll_.get(), epoll_.get(), [this] {
    const std::size_t busy =
        started_workers_.load() - std::min(started_workers_.load(), waiting_.load());
    return busy * 4 > shared_.limits.threads * 3;
  });
  reception_ = std::make_unique<Reception>(shared_, *table_, listener_.fd.get(),
                                           handshake_epoll_.get(), stop_event_.get());
  bool running = sweeper_.start("rpc-sweep", 1, [this] { table_->sweep_main(); });
  for (std::size_t i = 0; i < kFirstThreads && running; ++i)
    running = add_worker() || i > 0;
  if (!running)
    return fail(ErrorCode::ResourceExhausted, "cannot start the server's threads");
  return reception_->start();
}

Status Server::Impl::open_epoll() {
  handshake_epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  stop_event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!handshake_epoll_.valid() || !epoll_.valid() || !stop_event_.valid())
    return fail_errno(errno, "epoll");
  epoll_event event{};
  event.events = EPOLLIN;  // stays readable once written: every worker sees it
  event.data.u64 = kWorkersStopId;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_event_.get(), &event) != 0) {
    return fail_errno(errno, "epoll");
  }
  event.data.u64 = kWokenId;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, shared_.woken->fd(), &event) != 0) {
    return fail_errno(errno, "epoll");
  }
  return {};
}

Status Server::Impl::add_status_operation(OperationTable& operations) {
  Operation operation;
  operation.service = options_.role;
  operation.name = "status";
  operation.kind = OperationClass::Control;
  operation.body_cap = 1024;
  operation.open_to_all = true;
  operation.handler = [this](Call&) -> Result<Reply> { return status(); };
  return operations.add(std::move(operation));
}

Reply Server::Impl::status() const {
  const HealthReport health = options_.health ? options_.health() : HealthReport{};
  const auto not_after = std::chrono::floor<std::chrono::seconds>(
      options_.tls->current()->not_after().time_since_epoch());
  return Reply::json({
      {"role", options_.role},
      {"version", options_.version},
      {"uptime_s", (now() - started_boot_) / std::chrono::seconds(1)},
      {"ready", health.ready},
      {"message", health.message},
      {"certificate_not_after", not_after.count()},  // seconds since 1970
  });
}

// False: not now. Never throws.
bool Server::Impl::add_worker() noexcept {
  waiting_.fetch_add(1);  // on its behalf, so that a burst does not start more than it needs
  try {
    if (workers_.start("rpc-worker", shared_.limits.threads, [this] { worker_main(); })) {
      started_workers_.fetch_add(1);
      return true;
    }
  } catch (const std::bad_alloc&) {
    // The workers that there are go on.
  }
  waiting_.fetch_sub(1);
  return false;
}

void Server::Impl::worker_main() {
  int woken_in_row = 0;
  for (;;) {
    if (woken_in_row < kWokenInRow && run_woken()) {
      ++woken_in_row;
      continue;
    }
    const bool only_looks = woken_in_row >= kWokenInRow;
    if (only_looks)
      shared_.woken->signal();  // what it finds may take long: those that are left are for others
    epoll_event event{};
    const int ready = ::epoll_wait(epoll_.get(), &event, 1, only_looks ? 0 : -1);
    woken_in_row = 0;
    if (ready < 0 && errno != EINTR)
      return;
    if (ready <= 0)
      continue;
    if (event.data.u64 == kWokenId) {
      shared_.woken->heard();
      continue;
    }
    if (event.data.u64 == kWorkersStopId)
      break;
    begin_work();
    handle(event.data.u64);
    waiting_.fetch_add(1);
  }
  while (run_woken()) {
    // Each runs once more and cannot park again.
  }
}

// Whoever takes the last waiting place sees to it that somebody waits again.
void Server::Impl::begin_work() {
  const bool last = waiting_.fetch_sub(1) == 1;
  try {
    if (last && !add_worker())
      table_->pressure_changed();
  } catch (const std::bad_alloc&) {
    log::warn("memory is short, cannot start another worker");
  }
}

// False: none is woken, or it is not yet its turn.
bool Server::Impl::run_woken() {
  std::optional<WokenCalls::Turn> turn = woken_calls_.next();
  if (!turn)
    return false;
  begin_work();
  if (ServerConnection* const connection = table_->claim_woken(turn->state()))
    serve(*connection, std::move(turn));
  waiting_.fetch_add(1);
  return true;
}

void Server::Impl::handle(std::uint64_t id) {
  ServerConnection* connection = table_->claim(id);
  if (connection != nullptr)
    serve(*connection);
}

bool Server::Impl::may_linger() const {
  return !shared_.stopping.load(std::memory_order_relaxed) && !woken_calls_.any() &&
         (waiting_.load(std::memory_order_relaxed) > 0 ||
          started_workers_.load(std::memory_order_relaxed) < shared_.limits.threads);
}

// Nothing that a single connection does may end a worker: short memory ends the connection.
void Server::Impl::serve(ServerConnection& connection, std::optional<WokenCalls::Turn> turn) {
  try {
    if (turn) {
      dispatcher_->execute(connection);  // also when it was aborted: the handler is to hear of it
      turn.reset();
    }
    serve_until_parked(connection);
  } catch (const std::bad_alloc&) {
    ServerCounters::add(shared_.counters.out_of_memory);
    table_->remove(connection);
  }
}

// Works on the connection until it waits for its peer for longer than a moment.
void Server::Impl::serve_until_parked(ServerConnection& connection) {
  for (;;) {
    switch (connection.advance()) {
      case ServerConnection::Step::Request:
        dispatcher_->execute(connection);
        continue;
      case ServerConnection::Step::Parked:
        table_->park_call(connection);
        return;
      case ServerConnection::Step::Replied:
        if (may_linger() && connection.wait_readable(kLinger))
          continue;
        table_->park(connection, EPOLLIN | EPOLLRDHUP);
        return;
      case ServerConnection::Step::WantRead:
        table_->park(connection, EPOLLIN | EPOLLRDHUP);
        return;
      case ServerConnection::Step::WantWrite:
        table_->park(connection, EPOLLOUT);
        return;
      case ServerConnection::Step::Secured:  // the reception's
      case ServerConnection::Step::Close:
        table_->remove(connection);
        return;
    }
  }
}

void Server::Impl::stop() {
  if (shared_.stopping.exchange(true))
    return;
  if (!table_)
    return;
  ::shutdown(listener_.fd.get(), SHUT_RDWR);
  table_->stop();
  const std::uint64_t one = 1;
  (void)!::write(stop_event_.get(), &one, sizeof one);
  if (reception_)
    reception_->join();
  workers_.join_all();
  sweeper_.join_all();
  listener_.fd.reset();
}

ServerStats Server::Impl::stats() const {
  ServerStats stats;
  shared_.counters.copy_to(stats);
  stats.connections = table_->size();
  stats.threads = workers_.size();
  stats.threads_busy = stats.threads - std::min<std::uint64_t>(stats.threads, waiting_.load());
  stats.collected_bytes = shared_.collected_bytes.load();
  stats.parked_now = shared_.parked_now.load();
  return stats;
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, OperationTable operations) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TROTH_TRY_VOID(impl->start(std::move(operations)));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const {
  return impl_->port();
}
std::uint64_t Server::epoch() const {
  return impl_->epoch();
}
void Server::stop() {
  impl_->stop();
}
Status Server::reload_tls() {
  return impl_->reload_tls();
}
std::size_t Server::shed(std::size_t count) {
  return impl_->shed(count);
}
ServerStats Server::stats() const {
  return impl_->stats();
}

}  // namespace common::rpc
