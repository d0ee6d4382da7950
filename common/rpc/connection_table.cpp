#include "common/rpc/connection_table.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace common::rpc {
namespace {

// Ended in one go: the lock that each call takes twice is held for some 20 us.
constexpr std::size_t kSweepBatch = 64;

// How late a deadline may be noticed: an eighth of the shortest, so that a sweep covers many.
Duration granularity_of(const ServerLimits& limits) {
  const Duration shortest = std::min({Duration(limits.handshake), Duration(limits.head),
                                      Duration(limits.idle), Duration(limits.drain)});
  return std::clamp(shortest / 8, Duration(std::chrono::milliseconds(1)),
                    Duration(std::chrono::milliseconds(250)));
}

}  // namespace

ConnectionTable::ConnectionTable(ServerShared& shared, int handshake_epoll, int call_epoll,
                                 std::function<bool()> pressed)
    : shared_(shared),
      handshake_epoll_(handshake_epoll),
      call_epoll_(call_epoll),
      pressed_(std::move(pressed)),
      granularity_(granularity_of(shared.limits)) {}

void ConnectionTable::add(UniqueFd socket, Origin origin) {
  MutexLock lock(mutex_);
  if (stopped_)
    return;
  if (entries_.size() >= shared_.limits.connections) {
    ServerCounters::add(shared_.counters.refused_in_all);
    return;
  }
  const auto unit = per_unit_.find(origin.cap_unit);
  if (unit != per_unit_.end() &&
      unit->second.connections >= shared_.limits.connections_per_address) {
    ServerCounters::add(shared_.counters.refused_per_address);
    return;
  }
  const std::uint64_t id = ++last_id_;
  const int fd = socket.get();
  const std::string cap_unit = origin.cap_unit;
  auto share = unit != per_unit_.end() ? unit->second.share : std::make_shared<AddressShare>();
  auto connection =
      std::make_unique<ServerConnection>(id, std::move(socket), std::move(origin), shared_, share);
  const Instant deadline = connection->deadline();
  // Counted last, when nothing can run out of memory any more.
  const auto entry = entries_.emplace(id, Entry{std::move(connection), true}).first;
  try {
    deadlines_.set(id, deadline);
    Unit& place = per_unit_[cap_unit];
    ++place.connections;
    place.share = std::move(share);
  } catch (const std::bad_alloc&) {
    deadlines_.forget(id);
    entries_.erase(entry);
    throw;
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
  event.data.u64 = id;
  ::epoll_ctl(handshake_epoll_, EPOLL_CTL_ADD, fd, &event);
  wake_by_locked(deadline);
  if (entries_.size() * 4 > shared_.limits.connections * 3)
    wake_by_locked(now() + granularity_);
}

void ConnectionTable::park(ServerConnection& connection, std::uint32_t events) {
  connection.release_buffers();
  MutexLock lock(mutex_);
  const bool overdue = now() >= connection.deadline();
  if (stopped_ || overdue || !set_deadline_locked(connection)) {
    if (overdue)
      count_cut(connection);
    const Owned gone = take_locked(connection);
    lock.unlock();
    return;
  }
  Entry& entry = entries_.find(connection.id())->second;
  if (!entry.answered && connection.has_answered()) {
    entry.answered = true;
    ++per_unit_.find(connection.origin().cap_unit)->second.answered;
  }
  entry.parked = true;
  wake_by_locked(connection.deadline());
  arm_locked(entry, events);
}

void ConnectionTable::park_call(ServerConnection& connection) {
  MutexLock lock(mutex_);
  if (!set_deadline_locked(connection)) {
    const Owned gone = take_locked(connection);
    lock.unlock();
    return;
  }
  Entry& entry = entries_.find(connection.id())->second;
  entry.parked = true;
  ServerCounters::add(shared_.counters.parked);
  shared_.parked_now.fetch_add(1);
  wake_by_locked(connection.deadline());
  if (stopped_) {
    connection.parked()->wake(Parked::Reason::Stop);
    connection.abort();
  } else {
    arm_locked(entry, EPOLLRDHUP);
  }
  connection.parked()->wait();  // from here on a wake-up brings it to a worker
}

ServerConnection* ConnectionTable::claim_woken(Parked& state) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(state.connection());
  if (found == entries_.end() || !found->second.parked)
    return nullptr;
  ServerConnection& connection = *found->second.connection;
  if (connection.parked().get() != &state)
    return nullptr;
  found->second.parked = false;
  shared_.parked_now.fetch_sub(1);
  count_woken(state.begin_run());
  connection.resume();
  return &connection;
}

void ConnectionTable::count_woken(Parked::Reason reason) {
  ServerCounters& counters = shared_.counters;
  switch (reason) {
    case Parked::Reason::Call:
      return ServerCounters::add(counters.woken);
    case Parked::Reason::Deadline:
      return ServerCounters::add(counters.woken_by_deadline);
    case Parked::Reason::HangUp:
      return ServerCounters::add(counters.woken_by_hang_up);
    case Parked::Reason::Stop:
      return ServerCounters::add(counters.woken_by_stop);
  }
}

// Without memory to note when it must go, a connection has to go now.
bool ConnectionTable::set_deadline_locked(const ServerConnection& connection) {
  try {
    deadlines_.set(connection.id(), connection.deadline());
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void ConnectionTable::arm_locked(Entry& entry, std::uint32_t events) {
  const ServerConnection& connection = *entry.connection;
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = connection.id();
  if (connection.phase() == ServerConnection::Phase::Handshake) {
    ::epoll_ctl(handshake_epoll_, EPOLL_CTL_MOD, connection.fd(), &event);
  } else if (entry.secured) {
    ::epoll_ctl(call_epoll_, EPOLL_CTL_MOD, connection.fd(), &event);
  } else {
    entry.secured = true;
    ::epoll_ctl(handshake_epoll_, EPOLL_CTL_DEL, connection.fd(), nullptr);
    ::epoll_ctl(call_epoll_, EPOLL_CTL_ADD, connection.fd(), &event);
  }
}

std::optional<ConnectionTable::Newcomer> ConnectionTable::newcomer(std::uint64_t id) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end())
    return std::nullopt;
  const std::string& unit = found->second.connection->origin().cap_unit;
  return Newcomer{unit, per_unit_.find(unit)->second.answered > 0};
}

ServerConnection* ConnectionTable::claim(std::uint64_t id) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.parked)
    return nullptr;
  ServerConnection& connection = *found->second.connection;
  if (connection.phase() == ServerConnection::Phase::Parked) {
    connection.note_hang_up();
    connection.parked()->wake(Parked::Reason::HangUp);
    return nullptr;
  }
  found->second.parked = false;
  return &connection;
}

ConnectionTable::Owned ConnectionTable::take_locked(ServerConnection& connection) {
  const auto found = entries_.find(connection.id());
  Owned owned = std::move(found->second.connection);
  deadlines_.forget(connection.id());
  const auto unit = per_unit_.find(owned->origin().cap_unit);
  unit->second.answered -= found->second.answered ? 1 : 0;
  entries_.erase(found);
  if (--unit->second.connections == 0)
    per_unit_.erase(unit);
  return owned;
}

void ConnectionTable::remove(ServerConnection& connection) {
  MutexLock lock(mutex_);
  const Owned owned = take_locked(connection);
  lock.unlock();  // closing says goodbye over TLS
}

std::size_t ConnectionTable::shed(std::size_t count, Duration idle_for) {
  const Instant since = now() - idle_for;
  std::vector<Owned> gone;
  MutexLock lock(mutex_);
  std::vector<ServerConnection*> idle;
  for (auto& [id, entry] : entries_) {
    if (entry.parked && entry.connection->phase() == ServerConnection::Phase::Idle &&
        entry.connection->idle_since() <= since) {
      idle.push_back(entry.connection.get());
    }
  }
  count = std::min(count, idle.size());
  std::partial_sort(idle.begin(), idle.begin() + static_cast<std::ptrdiff_t>(count), idle.end(),
                    [](const ServerConnection* a, const ServerConnection* b) {
                      return a->idle_since() < b->idle_since();
                    });
  for (std::size_t i = 0; i < count; ++i)
    gone.push_back(take_locked(*idle[i]));
  lock.unlock();
  ServerCounters::add(shared_.counters.shed, count);
  return count;
}

// By their queue: the cost is that of what is due. A full batch is followed by another.
void ConnectionTable::take_due_locked(Instant at, std::vector<Owned>& gone) {
  std::size_t taken = 0;
  for (; taken < kSweepBatch; ++taken) {
    const auto id = deadlines_.expired(at);
    if (!id)
      break;
    const auto found = entries_.find(*id);
    if (found != entries_.end() && found->second.parked)  // else its claimant sets the next one
      end_locked(*found->second.connection, gone);
  }
  wake_at_ = taken < kSweepBatch ? deadlines_.next() : at;
}

// Idle ones are given less time now, of which the queue knows nothing: all are looked at.
void ConnectionTable::take_due_under_pressure_locked(Instant at, std::vector<Owned>& gone) {
  std::array<ServerConnection*, kSweepBatch> due{};
  std::size_t count = 0;
  wake_at_ = Instant::max();
  for (auto& [id, entry] : entries_) {
    if (!entry.parked)
      continue;
    ServerConnection& connection = *entry.connection;
    Instant end = connection.deadline();
    if (connection.phase() == ServerConnection::Phase::Idle)
      end = std::min(end, connection.idle_since() + shared_.limits.idle_under_pressure);
    if (connection.phase() == ServerConnection::Phase::Parked && connection.parked()->is_woken())
      continue;  // it is on its way to a worker
    if (end > at) {
      wake_at_ = std::min(wake_at_, end);
    } else if (count < due.size()) {
      due[count++] = &connection;
    } else {
      wake_at_ = at;
      break;
    }
  }
  for (ServerConnection* const connection : std::span(due).first(count))
    end_locked(*connection, gone);
}

void ConnectionTable::end_locked(ServerConnection& connection, std::vector<Owned>& gone) {
  if (connection.phase() == ServerConnection::Phase::Parked)
    return connection.parked()->wake(Parked::Reason::Deadline);
  count_cut(connection);
  gone.push_back(take_locked(connection));
}

void ConnectionTable::count_cut(const ServerConnection& connection) {
  ServerCounters& counters = shared_.counters;
  switch (connection.phase()) {
    case ServerConnection::Phase::Handshake:
      return ServerCounters::add(counters.cut_handshake);
    case ServerConnection::Phase::Idle:
      return ServerCounters::add(counters.cut_idle);
    case ServerConnection::Phase::Head:
      return ServerCounters::add(counters.cut_head);
    case ServerConnection::Phase::Body:
    case ServerConnection::Phase::Executing:
      return ServerCounters::add(counters.cut_body);
    case ServerConnection::Phase::Reply:
      return ServerCounters::add(counters.cut_reply);
    case ServerConnection::Phase::Parked:
    case ServerConnection::Phase::Drain:
      return;  // never cut; already counted as a refusal
  }
}

void ConnectionTable::wake_by_locked(Instant when) {
  if (when >= wake_at_)
    return;
  wake_at_ = when;
  wake_.notify_one();
}

void ConnectionTable::pressure_changed() {
  MutexLock lock(mutex_);
  wake_by_locked(now() + granularity_);
}

void ConnectionTable::sweep_main() {
  MutexLock lock(mutex_);
  while (!stopped_) {
    const Instant at = now();
    if (at < wake_at_) {
      // An hour at most, because every wait has an end; nothing is due then, so nothing happens.
      const Duration left = std::min<Duration>(wake_at_ - at, std::chrono::hours(1));
      wake_.wait_for(mutex_, std::max(left, granularity_));
      continue;
    }
    std::vector<Owned> gone;
    try {
      gone.reserve(kSweepBatch);
    } catch (const std::bad_alloc&) {
      wake_at_ = at + granularity_;  // nothing has been taken; another try when there is memory
      continue;
    }
    if (pressed_() || entries_.size() * 4 > shared_.limits.connections * 3)
      take_due_under_pressure_locked(at, gone);
    else
      take_due_locked(at, gone);
    lock.unlock();
    gone.clear();
    lock.lock();
  }
}

void ConnectionTable::stop() {
  std::vector<Owned> gone;
  MutexLock lock(mutex_);
  stopped_ = true;
  std::vector<ServerConnection*> parked;
  for (auto& [id, entry] : entries_) {
    if (entry.parked && entry.connection->phase() != ServerConnection::Phase::Parked) {
      parked.push_back(entry.connection.get());
      continue;
    }
    if (entry.parked)
      entry.connection->parked()->wake(Parked::Reason::Stop);
    entry.connection->abort();
  }
  for (ServerConnection* connection : parked)
    gone.push_back(take_locked(*connection));
  wake_.notify_one();
  lock.unlock();
}

std::size_t ConnectionTable::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace common::rpc
