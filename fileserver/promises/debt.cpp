#include "fileserver/promises/debt.hpp"

#include <algorithm>
#include <utility>

namespace fileserver::promises {
namespace {

// Fits into nothing secret: keys here are of one session's own promises.
constexpr std::uint64_t kSeed = 0x6A09E667F3BCC909ULL;

constexpr std::size_t kFewSlots = 4;

}  // namespace

std::size_t NewestBreaks::place_of(NodeKey key) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash_of(key, kSeed) & mask;
  while (slots_[at].number != 0 && slots_[at].key != key)
    at = (at + 1) & mask;
  return at;
}

void NewestBreaks::rebuild(const std::vector<Slot>& living) {
  std::size_t size = kFewSlots;
  while (size < (living.size() + 1) * 4)
    size *= 2;
  slots_.assign(living.empty() ? kFewSlots : size, Slot{});
  for (const Slot& slot : living)
    slots_[place_of(slot.key)] = slot;
  used_ = living.size();
}

// There is room: make_room() was called.
void NewestBreaks::set(NodeKey key, std::uint64_t number) {
  Slot& slot = slots_[place_of(key)];
  used_ += slot.number == 0 ? 1 : 0;
  slot = Slot{key, number};
}

std::uint64_t NewestBreaks::find(NodeKey key) const {
  return slots_.empty() ? 0 : slots_[place_of(key)].number;
}

const Break& Debt::add(Break fresh) {
  nodes_ += fresh.nodes.size();
  evicted_nodes_ += fresh.evicted ? fresh.nodes.size() : 0;
  for (const Touched& touched : fresh.nodes) {
    if (const auto key = pack(touched.node)) {
      newest_.make_room([&](std::uint64_t number) { return outstanding(number); });
      newest_.set(*key, fresh.number);
    }
  }
  breaks_.push_back(std::move(fresh));
  return breaks_.back();
}

std::size_t Debt::find(std::uint64_t number) const {
  const auto found =
      std::lower_bound(breaks_.begin() + static_cast<std::ptrdiff_t>(head_), breaks_.end(), number,
                       [](const Break& b, std::uint64_t n) { return b.number < n; });
  const bool here = found != breaks_.end() && found->number == number;
  return here ? static_cast<std::size_t>(found - breaks_.begin()) : breaks_.size();
}

std::uint64_t Debt::newest(NodeKey key) const {
  const std::uint64_t number = newest_.find(key);
  return number != 0 && outstanding(number) ? number : 0;
}

void Debt::note_evicted(const Break& b, Released& released) {
  if (!b.evicted)
    return;
  evicted_nodes_ -= b.nodes.size();
  for (const Touched& touched : b.nodes)
    released.evicted.push_back(touched.node);
}

void Debt::acknowledge(std::uint64_t number, Released& released) {
  const auto gone = [&](const Break& b) {
    return b.number == number || (b.number < number && !b.flushing);
  };
  const auto begin = breaks_.begin() + static_cast<std::ptrdiff_t>(head_);
  const auto end = std::upper_bound(begin, breaks_.end(), number,
                                    [](std::uint64_t n, const Break& b) { return n < b.number; });
  for (auto it = begin; it != end; ++it) {
    if (!gone(*it))
      continue;
    nodes_ -= it->nodes.size();
    note_evicted(*it, released);
  }
  // Those that stay, which are flushing, move up to the others that stay.
  const auto kept = std::stable_partition(begin, end, gone);
  for (auto it = begin; it != kept; ++it)
    *it = Break{};
  head_ += static_cast<std::size_t>(kept - begin);
  if (head_ * 2 > breaks_.size()) {
    breaks_.erase(breaks_.begin(), breaks_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  const auto waits = [&](const Waiter& waiter) { return outstanding(waiter.number); };
  const auto free = std::stable_partition(waiters_.begin(), waiters_.end(), waits);
  released.waiters.insert(released.waiters.end(), free, waiters_.end());
  waiters_.erase(free, waiters_.end());
}

void Debt::release_all(Released& released) {
  released.waiters.insert(released.waiters.end(), waiters_.begin(), waiters_.end());
  for (const Break& b : breaks())
    note_evicted(b, released);
  *this = Debt{};
}

void Debt::flush(std::uint64_t number, Instant until, Duration longest) {
  if (!outstanding(number))
    return;
  Break& found = breaks_[find(number)];
  if (!found.flushing) {
    found.flushing = true;
    found.flush_end = found.overdue + longest;
  }
  found.overdue = std::max(found.overdue, std::min(until, found.flush_end));
}

bool Debt::overdue(Instant now) const {
  const auto list = breaks();
  return std::any_of(list.begin(), list.end(), [&](const Break& b) { return b.overdue <= now; });
}

std::size_t Debt::memory_bytes() const {
  return sizeof(*this) + breaks_.capacity() * sizeof(Break) + nodes_ * sizeof(Touched) +
         newest_.memory_bytes() + waiters_.capacity() * sizeof(Waiter);
}

}  // namespace fileserver::promises
