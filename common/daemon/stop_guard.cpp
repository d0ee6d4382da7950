#include "common/daemon/stop_guard.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/daemon/exit_codes.hpp"
#include "common/log/log.hpp"

namespace common::daemon {
namespace {

void set(const UniqueFd& event) {
  const std::uint64_t one = 1;
  (void)!::write(event.get(), &one, sizeof(one));  // fails only if it is set 2^64 times already
}

}  // namespace

Result<std::unique_ptr<StopGuard>> StopGuard::start(std::chrono::milliseconds limit) {
  TROTH_TRY(auto signals, Signals::take_over());
  UniqueFd news(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!news.valid() || !done.valid())
    return fail_errno(errno, "cannot listen for signals");
  return std::unique_ptr<StopGuard>(
      new StopGuard(std::move(signals), std::move(news), std::move(done), limit));
}

StopGuard::StopGuard(Signals signals, UniqueFd news, UniqueFd done, std::chrono::milliseconds limit)
    : signals_(std::move(signals)),
      news_(std::move(news)),
      done_(std::move(done)),
      thread_([this, limit] { watch(limit); }) {}

StopGuard::~StopGuard() {
  set(done_);
  thread_.join();
}

std::optional<Signal> StopGuard::next() {
  std::uint64_t count = 0;
  (void)!::read(news_.get(), &count, sizeof(count));  // before the flags: what comes later sets it
  if (stop_asked_)
    return Signal::Stop;
  if (reload_asked_.exchange(false))
    return Signal::Reload;
  return std::nullopt;
}

void StopGuard::cut_off(std::chrono::milliseconds limit) const {
  if (!serving_) {
    log::warn("asked to stop before it was ready; ending without waiting for the start");
    ::_exit(kExitOk);
  }
  log::error("stopping took too long; ending without waiting further",
             {{"limit_ms", limit.count()}});
  ::_exit(kExitFailure);
}

void StopGuard::watch(std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> give_up;
  std::array<pollfd, 2> entries{pollfd{signals_.fd(), POLLIN, 0}, pollfd{done_.get(), POLLIN, 0}};
  for (;;) {
    int wait = -1;
    if (give_up) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*give_up - Clock::now());
      if (left.count() <= 0)
        cut_off(limit);
      wait = static_cast<int>(left.count());
    }
    ::poll(entries.data(), entries.size(), wait);
    if ((entries[1].revents & POLLIN) != 0)
      return;
    while (const auto signal = signals_.next()) {
      if (*signal == Signal::Reload) {
        reload_asked_ = true;
      } else {
        stop_asked_ = true;
        if (!give_up)
          give_up = Clock::now() + limit;
      }
      set(news_);
    }
  }
}

}  // namespace common::daemon
