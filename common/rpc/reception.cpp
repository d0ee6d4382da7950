#include "common/rpc/reception.hpp"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <thread>

#include "common/log/log.hpp"

namespace common::rpc {
namespace {

// Names in the epoll set; connections have ids above the table's first.
constexpr std::uint64_t kListenerId = 1;
constexpr std::uint64_t kStopId = 2;

// Accepted in one go before handshakes get their turn.
constexpr int kAcceptBatch = 64;
// Taken in together: whoever is ready at the same time is queued by address before one is served.
constexpr std::size_t kEvents = 256;
// How long accepting pauses when descriptors or memory are short.
constexpr std::chrono::milliseconds kAcceptPause{50};
// Every wait has an end; nothing depends on this one.
constexpr std::chrono::hours kLongWait{1};

// How far these threads stand back: a third of a worker's share while both want the core, and a
// slice longer than a worker's, so that a worker that wakes up need not wait for the end of it.
constexpr int kNicer = 5;
constexpr std::uint64_t kSliceNs = 10'000'000;

// The first version of the kernel's structure, which not every libc declares.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = SCHED_BATCH;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = kSliceNs;  // before 6.12 it means nothing
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

// A kernel or a sandbox that refuses makes calls wait a little longer and nothing else.
void stand_back() noexcept {
  SchedulingAttributes attributes;
  attributes.nice = std::min(::getpriority(PRIO_PROCESS, 0) + kNicer, 19);
  if (::syscall(SYS_sched_setattr, 0, &attributes, 0) == 0)
    return;
  // A sandbox may forbid that call and not these.
  const sched_param none{};
  (void)::sched_setscheduler(0, SCHED_BATCH, &none);
  (void)::setpriority(PRIO_PROCESS, 0, attributes.nice);
}

}  // namespace

Reception::Reception(ServerShared& shared, ConnectionTable& table, int listener, int epoll,
                     int stop_event)
    : shared_(shared), table_(table), listener_(listener), epoll_(epoll), stop_event_(stop_event) {}

Status Reception::start() {
  epoll_event event{};
  event.events = EPOLLIN;  // stays readable once written
  event.data.u64 = kStopId;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, stop_event_, &event) != 0)
    return fail_errno(errno, "epoll");
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = kListenerId;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0)
    return fail_errno(errno, "epoll");
  const std::size_t wanted = shared_.limits.handshake_threads != 0
                                 ? shared_.limits.handshake_threads
                                 : std::max(std::thread::hardware_concurrency() / 2, 1U);
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!threads_.start("rpc-shake", wanted, [this] { thread_main(); }) && i == 0)
      return fail(ErrorCode::ResourceExhausted, "cannot start the server's threads");
  }
  return {};
}

// One thread at a time takes in what is ready, and waits for it only while nobody is queued; so
// the others either shake hands or wait for one of both to be needed.
void Reception::thread_main() {
  stand_back();
  MutexLock lock(mutex_);
  while (!stopped_) {
    if (!collecting_) {
      collecting_ = true;
      lock.unlock();
      collect();
      lock.lock();
      collecting_ = false;
      changed_.notify_one();
    } else if (queue_.empty()) {
      changed_.wait_for(mutex_, kLongWait);
      continue;
    }
    if (const auto id = queue_.pop()) {
      lock.unlock();
      serve(*id);
      lock.lock();
    }
  }
  changed_.notify_all();
}

void Reception::collect() {
  int timeout = 0;
  {
    MutexLock lock(mutex_);
    if (queue_.empty())
      timeout = -1;
  }
  if (accept_again_ != Instant::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(accept_again_ - now());
    if (left.count() <= 0) {
      rearm_listener();
    } else if (timeout != 0) {
      timeout = static_cast<int>(left.count());
    }
  }
  std::array<epoll_event, kEvents> events;
  const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
  for (int i = 0; i < ready; ++i) {
    const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
    if (id == kStopId) {
      MutexLock lock(mutex_);
      stopped_ = true;
    } else if (id == kListenerId) {
      accept_some();
    } else {
      enqueue(id);
    }
  }
}

void Reception::enqueue(std::uint64_t id) {
  try {
    const auto newcomer = table_.newcomer(id);
    if (!newcomer)
      return;  // it has been cut meanwhile
    MutexLock lock(mutex_);
    queue_.push(newcomer->unit, newcomer->known, id);
    return;
  } catch (const std::bad_alloc&) {
    // No memory to wait its turn with: it is served at once.
  }
  serve(id);
}

void Reception::serve(std::uint64_t id) {
  ServerConnection* connection = table_.claim(id);
  if (connection == nullptr)
    return;
  try {
    serve_until_parked(*connection);
  } catch (const std::bad_alloc&) {
    ServerCounters::add(shared_.counters.out_of_memory);
    table_.remove(*connection);
  }
}

void Reception::serve_until_parked(ServerConnection& connection) {
  switch (connection.advance()) {
    case ServerConnection::Step::WantRead:
      return table_.park(connection, EPOLLIN | EPOLLRDHUP);
    case ServerConnection::Step::WantWrite:
      return table_.park(connection, EPOLLOUT);
    case ServerConnection::Step::Secured:
      // From here on it is the workers'. What came with the end of the handshake has left the
      // socket, which therefore may never tell of it: a writable socket tells at once.
      return table_.park(connection,
                         EPOLLIN | EPOLLRDHUP | (connection.has_pending() ? EPOLLOUT : 0U));
    case ServerConnection::Step::Replied:
    case ServerConnection::Step::Request:
    case ServerConnection::Step::Parked:
    case ServerConnection::Step::Close:
      return table_.remove(connection);
  }
}

void Reception::rearm_listener() {
  accept_again_ = Instant::max();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = kListenerId;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
}

void Reception::accept_some() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    UniqueFd socket(::accept4(listener_, reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) {
      ServerCounters::add(shared_.counters.accepted);
      try {
        table_.add(std::move(socket), origin_of(&address));
      } catch (const std::bad_alloc&) {
        ServerCounters::add(shared_.counters.accept_failures);
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || shared_.stopping.load())
      break;
    if (errno == EINTR)
      continue;
    // Out of descriptors, memory or luck: the listener stays, others get time to end.
    if (shared_.counters.accept_failures.fetch_add(1) % 1000 == 0)
      log::warn("accepting connections fails, pausing", {{"errno", errno}});
    if (errno == ECONNABORTED)
      continue;
    accept_again_ = now() + kAcceptPause;
    try {
      (void)table_.shed(1, shared_.limits.idle_under_pressure);
    } catch (const std::bad_alloc&) {
      // Then nobody goes now.
    }
    return;
  }
  rearm_listener();
}

}  // namespace common::rpc
