#include "fileserver/callers/disabled_watch.hpp"

#include <pthread.h>

#include <new>

#include "common/crypto/random.hpp"
#include "common/log/log.hpp"

namespace fileserver {

using common::Duration;
using common::MutexLock;

DisabledWatch::DisabledWatch(DisabledWatchOptions options, DisabledList& list,
                             const common::Clock& clock)
    : options_(std::move(options)), list_(list), clock_(clock), known_at_(clock.now()) {
  thread_ = std::thread([this] { run(); });
}

DisabledWatch::~DisabledWatch() {
  stop();
  thread_.join();
}

void DisabledWatch::stop() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
}

Duration DisabledWatch::age() const {
  const MutexLock lock(mutex_);
  return clock_.now() - known_at_;
}

std::uint64_t DisabledWatch::failures() const {
  const MutexLock lock(mutex_);
  return failures_;
}

std::optional<std::string> DisabledWatch::trouble() const {
  const MutexLock lock(mutex_);
  return trouble_;
}

Duration DisabledWatch::pause() const {
  // Three quarters, and up to half by chance.
  const Duration every = options_.every;
  const auto random = common::crypto::random_u64();
  const auto part = static_cast<std::int64_t>(random ? *random % 1'024 : 512);
  return every * 3 / 4 + every / 2 * part / 1'024;
}

void DisabledWatch::run() {
  ::pthread_setname_np(::pthread_self(), "disabled");
  MutexLock lock(mutex_);
  while (!stopped_) {
    lock.unlock();
    if (options_.beat)
      options_.beat();
    ask_once();
    const common::Instant until = clock_.now() + pause();
    lock.lock();
    while (!stopped_ && clock_.now() < until)
      wake_.wait_for(mutex_, until - clock_.now());
  }
}

void DisabledWatch::ask_once() {
  const common::Instant asked = clock_.now();
  common::Status done;
  try {
    const auto newly = list_.refresh(options_.ask, asked);
    if (newly)
      options_.told(*newly);
    else
      done = tl::unexpected(newly.error());
  } catch (const std::bad_alloc&) {
    done = common::fail(common::ErrorCode::ResourceExhausted, "there is no memory");
  }
  const MutexLock lock(mutex_);
  // Said once, not at every question.
  if (!done && !trouble_ && !stopped_) {
    common::log::warn(
        "the KDC does not say who is disabled; whoever was known as such is refused, others are "
        "served",
        {{"why", done.error().message}});
  } else if (done && trouble_) {
    common::log::info("the KDC says again who is disabled", {});
  }
  if (done) {
    known_at_ = asked;
    trouble_.reset();
  } else {
    ++failures_;
    trouble_ = done.error().message;
  }
}

}  // namespace fileserver
