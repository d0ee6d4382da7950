#include "common/rpc/woken_calls.hpp"

#include <algorithm>

namespace common::rpc {
namespace {

// Of the threads, this part may run woken calls beyond the cap of their class. New calls have at
// most seven eighths, so that as many are left again.
constexpr std::size_t kPartBeyond = 16;

std::size_t most_beyond(const ServerLimits& limits) {
  return std::max<std::size_t>(limits.threads / kPartBeyond, 1);
}

}  // namespace

WokenCalls::~WokenCalls() {
  MutexLock lock(mutex_);
  while (first_)
    first_ = WokenList::next(*first_);
}

std::optional<WokenCalls::Turn> WokenCalls::next() {
  if (!any())
    return std::nullopt;
  MutexLock lock(mutex_);
  if (!first_)
    first_ = shared_.woken->take();
  if (!first_)
    return std::nullopt;
  const OperationClass kind = first_->kind();
  std::atomic<std::size_t>& running = shared_.in_flight.of(kind);
  const bool beyond = running.fetch_add(1) >= InFlight::cap(shared_.limits, kind);
  if (beyond && beyond_ >= most_beyond(shared_.limits)) {
    running.fetch_sub(1);
    queued_ = true;
    return std::nullopt;
  }
  beyond_ += beyond ? 1 : 0;
  std::shared_ptr<Parked> state = std::move(first_);
  first_ = WokenList::next(*state);
  queued_ = first_ != nullptr;
  const bool more = first_ != nullptr;
  lock.unlock();
  if (more)
    shared_.woken->signal();  // for another worker
  return Turn(*this, std::move(state), beyond);
}

void WokenCalls::finish(OperationClass kind, bool beyond) {
  MutexLock lock(mutex_);
  shared_.in_flight.of(kind).fetch_sub(1);
  beyond_ -= beyond ? 1 : 0;
  const bool more = first_ != nullptr || !shared_.woken->empty();
  lock.unlock();
  if (more)
    shared_.woken->signal();
}

}  // namespace common::rpc
