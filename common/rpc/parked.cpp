#include "common/rpc/parked.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace common::rpc {
namespace {

// Bits of a state; the rest of the word is the reason of the wake-up.
constexpr std::uint32_t kWoken = 1;    // a wake-up came that no run has followed yet
constexpr std::uint32_t kWaiting = 2;  // the handler has returned
constexpr std::uint32_t kEnded = 4;
constexpr std::uint32_t kReasonShift = 8;
constexpr std::uint32_t kReasonMask = 3U << kReasonShift;

// What stands for the list's newest once it is closed; never looked into.
Parked* closed_mark() {
  static std::uint64_t mark = 0;
  return reinterpret_cast<Parked*>(&mark);
}

}  // namespace

// Whoever sets the last of "woken" and "waiting" puts the state into the list, once for each run:
// the run that takes it out of there clears both. Who finds it woken already writes the word all
// the same: the run that follows must see what was written before each wake-up, not only the first.
bool Parked::set(std::uint32_t bits) noexcept {
  std::uint32_t old = bits_.load(std::memory_order_relaxed);
  std::uint32_t wanted = 0;
  do {
    if ((old & kEnded) != 0)
      return false;
    wanted = (old & bits & kWoken) != 0 ? old : old | bits;
  } while (!bits_.compare_exchange_weak(old, wanted, std::memory_order_acq_rel));
  const bool push = wanted != old && (wanted & (kWoken | kWaiting)) == (kWoken | kWaiting);
  if (push)
    woken_->push(*this);
  return push;
}

void Parked::wake(Reason reason) noexcept {
  if (set(kWoken | (static_cast<std::uint32_t>(reason) << kReasonShift)))
    woken_->signal();
}

void Parked::wait() noexcept {
  (void)set(kWaiting);
}

bool Parked::bind(const std::shared_ptr<WokenList>& woken, std::uint64_t connection,
                  OperationClass kind) {
  if ((bits_.load(std::memory_order_acquire) & kEnded) != 0)
    return false;
  std::uint64_t owner = 0;
  if (!owner_.compare_exchange_strong(owner, connection))
    return owner == connection;
  woken_ = woken;
  kind_ = kind;
  return true;
}

Parked::Reason Parked::begin_run() noexcept {
  const std::uint32_t old =
      bits_.fetch_and(~(kWoken | kWaiting | kReasonMask), std::memory_order_acq_rel);
  return static_cast<Reason>((old & kReasonMask) >> kReasonShift);
}

void Parked::end() noexcept {
  bits_.fetch_or(kEnded, std::memory_order_acq_rel);
}

bool Parked::is_woken() const {
  return (bits_.load(std::memory_order_acquire) & kWoken) != 0;
}

WokenList::WokenList() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void WokenList::push(Parked& state) noexcept {
  state.self_ = state.shared_from_this();
  Parked* newest = newest_.load(std::memory_order_relaxed);
  do {
    if (newest == closed_mark()) {
      state.self_.reset();  // the caller holds it, too
      return;
    }
    state.next_ = newest;
  } while (!newest_.compare_exchange_weak(newest, &state, std::memory_order_acq_rel));
}

bool WokenList::empty() const {
  return newest_.load(std::memory_order_acquire) == nullptr;
}

std::shared_ptr<Parked> WokenList::take() noexcept {
  Parked* newest = newest_.exchange(nullptr, std::memory_order_acq_rel);
  Parked* first = nullptr;
  while (newest != nullptr) {
    Parked* const before = std::exchange(newest->next_, first);
    first = newest;
    newest = before;
  }
  return first != nullptr ? std::move(first->self_) : nullptr;
}

std::shared_ptr<Parked> WokenList::next(Parked& state) noexcept {
  Parked* const next = std::exchange(state.next_, nullptr);
  return next != nullptr ? std::move(next->self_) : nullptr;
}

void WokenList::close() noexcept {
  Parked* state = newest_.exchange(closed_mark(), std::memory_order_acq_rel);
  while (state != nullptr && state != closed_mark()) {
    Parked* const next = state->next_;
    state->self_.reset();
    state = next;
  }
}

void WokenList::signal() noexcept {
  if (signalled_.exchange(true, std::memory_order_acq_rel))
    return;
  const std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);
}

// In this order: whoever finds the signal given meanwhile has put its state in before, so that the
// caller, who looks into the list next, sees it.
void WokenList::heard() noexcept {
  std::uint64_t count = 0;
  (void)!::read(event_.get(), &count, sizeof count);
  (void)signalled_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace common::rpc
