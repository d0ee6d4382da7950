#include "common/stream/loop.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>
#include <utility>

#include "common/log/log.hpp"

namespace common::stream {
namespace {

constexpr std::uint64_t kWakeupId = 0;
constexpr std::uint64_t kTimerId = 1;
constexpr std::uint64_t kWatchedId = 2;

// The timer and the wake-up end every wait; this only bounds the harm if one of them is ever lost.
constexpr int kLongestWaitMs = 60'000;
// Events taken in one turn; the rest stay ready.
constexpr std::size_t kEventsPerTurn = 256;
// One TLS record: a read never returns more.
constexpr std::size_t kScratch = 16 * 1024;
// A loop that is so far behind is not caught up with by queueing more.
constexpr std::size_t kMaxCommands = 100'000;
constexpr std::size_t kMaxCommandBytes = 64 * 1024 * 1024;

bool epoll_set(int epoll, int operation, int fd, std::uint64_t id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

Loop::Loop(LoopOwner& owner, const Clock& clock)
    : owner_(owner), clock_(clock), scratch_(kScratch) {}

Loop::~Loop() {
  stop();
}

Status Loop::start(const char* name) {
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  wakeup_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  timer_ = UniqueFd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_.valid() || !wakeup_.valid() || !timer_.valid() ||
      !epoll_set(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), kWakeupId, EPOLLIN) ||
      !epoll_set(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), kTimerId, EPOLLIN)) {
    return fail_errno(errno, "cannot make an event loop");
  }
  try {
    thread_ = std::thread([this] { loop_main(); });
  } catch (const std::exception& exception) {
    return fail(ErrorCode::ResourceExhausted, "cannot start the event loop's thread: {}",
                exception.what());
  }
  ::pthread_setname_np(thread_.native_handle(), name);
  return {};
}

void Loop::stop() {
  if (!thread_.joinable())
    return;
  (void)post({.call = [this](Instant) { stopping_ = true; }});
  mailbox_.lock()->closed = true;
  thread_.join();
}

Status Loop::post(Command command) {
  const std::size_t bytes = command.frame ? command.frame->size() : 0;
  {
    auto mailbox = mailbox_.lock();
    if (mailbox->closed)
      return fail(ErrorCode::Cancelled, "the event loop has stopped");
    // Calls are few, made by the owner, and stop() is one of them.
    if (command.kind != Command::Kind::Call &&
        (mailbox->commands.size() >= kMaxCommands || mailbox->bytes + bytes > kMaxCommandBytes)) {
      return fail(ErrorCode::Overloaded, "the event loop is {} commands behind",
                  mailbox->commands.size());
    }
    mailbox->bytes += bytes;
    mailbox->commands.push_back(std::move(command));
    if (mailbox->commands.size() > 1)
      return {};  // whoever queued the first has woken the loop
  }
  const std::uint64_t one = 1;
  // Can only fail by a full counter, and then the loop is awake.
  (void)!::write(wakeup_.get(), &one, sizeof one);
  return {};
}

void Loop::watch(int fd, bool on) {
  // MOD fails when it is not in the set yet; a failing ADD leaves the listener deaf, which the
  // owner cannot mend either.
  if (on && !epoll_set(epoll_.get(), EPOLL_CTL_MOD, fd, kWatchedId, EPOLLIN) &&
      !epoll_set(epoll_.get(), EPOLL_CTL_ADD, fd, kWatchedId, EPOLLIN)) {
    log::error("cannot watch a listener", {{"errno", errno}});
  }
  if (!on)
    epoll_set(epoll_.get(), EPOLL_CTL_DEL, fd, kWatchedId, 0);
}

Status Loop::add(std::unique_ptr<Link> link, Instant now) {
  link->armed = link->interest();
  if (!epoll_set(epoll_.get(), EPOLL_CTL_ADD, link->fd(), link->id(), link->armed)) {
    return fail_errno(errno, "cannot watch a connection");
  }
  (void)now;
  timers_.set(link->id(), link->next_deadline());
  links_.emplace(link->id(), std::move(link));
  return {};
}

Link* Loop::find(std::uint64_t id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : found->second.get();
}

void Loop::for_each(const std::function<void(Link&)>& visit) {
  // settle() may remove the link that is visited, so the ids are noted first.
  std::vector<std::uint64_t> ids;
  ids.reserve(links_.size());
  for (const auto& [id, link] : links_)
    ids.push_back(id);
  const Instant now = clock_.now();
  for (const std::uint64_t id : ids) {
    guarded(id, now, [&] {
      if (Link* link = find(id))
        visit(*link);
    });
  }
}

template <typename Act>
void Loop::guarded(std::uint64_t id, Instant now, Act act) {
  try {
    act();
  } catch (const std::bad_alloc&) {
    abandon(id, now);
  }
}

void Loop::abandon(std::uint64_t id, Instant now) noexcept {
  Link* link = find(id);
  if (link == nullptr)
    return;
  try {
    owner_.on_gone(*link, now);
  } catch (const std::bad_alloc&) {
    // The owner knows as much of it as memory allowed.
  }
  timers_.forget(id);
  links_.erase(id);
}

void Loop::abandon_all(Instant now) noexcept {
  while (!links_.empty())
    abandon(links_.begin()->first, now);
}

void Loop::settle(Link& link, Effects& effects, Instant now) {
  // Flushing may lose the connection, and acting on an effect may bring output and more effects.
  for (std::size_t i = 0;; ++i) {
    if (i == effects.size())
      link.flush(now, effects);
    if (i == effects.size())
      break;
    Effect effect = std::move(effects[i]);
    owner_.on_effect(link, std::move(effect), now, effects);
  }
  effects.clear();
  if (link.phase() == Link::Phase::Dead)
    return remove(link, now);
  // Once: a link that stood there twice would be served twice in each turn, then three times.
  if (link.hungry() && !link.queued) {
    hungry_.push_back(link.id());
    link.queued = true;
  }
  if (const std::uint32_t interest = link.interest(); interest != link.armed) {
    epoll_set(epoll_.get(), EPOLL_CTL_MOD, link.fd(), link.id(), interest);
    link.armed = interest;
  }
  timers_.set(link.id(), link.next_deadline());
}

void Loop::drop(std::uint64_t id, Instant now) {
  if (Link* link = find(id))
    remove(*link, now);
}

void Loop::remove(Link& link, Instant now) {
  owner_.on_gone(link, now);
  timers_.forget(link.id());
  links_.erase(link.id());  // closing takes the socket out of the epoll set
}

void Loop::serve_link(std::uint64_t id, Instant now) {
  guarded(id, now, [&] {
    Link* link = find(id);
    if (link == nullptr)
      return;  // removed earlier in this turn
    Effects effects;
    link->on_ready(now, scratch_, effects);
    if (link->wants_core()) {
      owner_.on_secured(*link, now);
      if (link->has_core())
        link->on_ready(now, scratch_, effects);
    }
    settle(*link, effects, now);
  });
}

void Loop::serve_hungry(Instant now) {
  const auto ids = std::exchange(hungry_, {});
  for (const std::uint64_t id : ids) {
    if (Link* link = find(id))
      link->queued = false;
    serve_link(id, now);
  }
}

void Loop::serve_mailbox(Instant now) {
  std::uint64_t count = 0;
  (void)!::read(wakeup_.get(), &count, sizeof count);
  std::vector<Command> commands;
  {
    auto mailbox = mailbox_.lock();
    commands.swap(mailbox->commands);
    mailbox->bytes = 0;
  }
  for (Command& command : commands) {
    const std::uint64_t id = command.id;
    const bool to_all = command.kind == Command::Kind::Broadcast;
    try {
      if (command.kind == Command::Kind::Call) {
        command.call(now);
      } else {
        owner_.on_command(std::move(command), now);
      }
    } catch (const std::bad_alloc&) {
      // A message may not be lost while its stream lives on: it may have withdrawn a promise.
      if (to_all) {
        abandon_all(now);
      } else {
        abandon(id, now);
      }
    }
  }
}

void Loop::serve_timers(Instant now) {
  while (const auto id = timers_.expired(now)) {
    guarded(*id, now, [&] {
      Link* link = find(*id);
      if (link == nullptr)
        return;
      Effects effects;
      link->on_timer(now, effects);
      settle(*link, effects, now);
    });
  }
}

void Loop::arm_timer(Instant when) {
  if (when == armed_)
    return;
  armed_ = when;
  itimerspec spec{};
  if (when != Instant::max()) {
    // Zero would disarm; a deadline in the past fires at once.
    const auto ns = std::max<std::int64_t>(when.time_since_epoch().count(), 1);
    spec.it_value.tv_sec = ns / 1'000'000'000;
    spec.it_value.tv_nsec = ns % 1'000'000'000;
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Loop::turn(std::span<const epoll_event> events) {
  const Instant now = clock_.now();
  serve_hungry(now);
  for (const epoll_event& event : events) {
    if (event.data.u64 == kWakeupId) {
      serve_mailbox(now);
    } else if (event.data.u64 == kTimerId) {
      std::uint64_t fired = 0;
      (void)!::read(timer_.get(), &fired, sizeof fired);
      armed_ = Instant::max();
    } else if (event.data.u64 == kWatchedId) {
      try {
        owner_.on_watched(now);
      } catch (const std::bad_alloc&) {
        // Whoever was being accepted has been closed; the next one gets another try.
      }
    } else {
      serve_link(event.data.u64, now);
    }
  }
  const Instant later = clock_.now();
  serve_timers(later);
  arm_timer(std::min(owner_.on_turn(later), timers_.next()));
}

void Loop::loop_main() {
  std::array<epoll_event, kEventsPerTurn> events{};
  turn({});
  while (!stopping_) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               hungry_.empty() ? kLongestWaitMs : 0);
    if (n < 0 && errno != EINTR) {
      log::error("the event loop cannot wait", {{"errno", errno}});
      std::abort();  // a descriptor of ours was closed by somebody: a bug, and unsafe to go on
    }
    turn(std::span(events.data(), static_cast<std::size_t>(std::max(n, 0))));
  }
  const Instant now = clock_.now();
  for_each([&](Link& link) { remove(link, now); });
}

}  // namespace common::stream
