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
  breaks_.push_back(std::move(fresh));  // first: what is not outstanding is not remembered
  const Break& added = breaks_.back();
  for (const Touched& touched : added.nodes) {
    if (const auto key = pack(touched.node)) {
      newest_.make_room([&](std::uint64_t number) { return outstanding(number); });
      newest_.set(*key, added.number);
    }
  }
  return added;
}

std::size_t Debt::find(std::uint64_t number) const {
  const auto found =
      std::lower_bound(breaks_.begin() + static_cast<std::ptrdiff_t>(head_), breaks_.end(), number,
                       [](const Break& b, std::uint64_t n) { return b.number < n; });
  const bool here = found != breaks_.end() && found->number == number;
  return here ? static_cast<std::size_t>(found - breaks_.begin()) : breaks_.size();
}

std::size_t Debt::place_after(std::uint64_t number) const {
  const auto after =
      std::upper_bound(breaks_.begin() + static_cast<std::ptrdiff_t>(head_), breaks_.end(), number,
                       [](std::uint64_t n, const Break& b) { return n < b.number; });
  return static_cast<std::size_t>(after - breaks_.begin());
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

// Those before `end` that are gone, and whoever waited for them.
template <typename Gone>
void Debt::remove(std::size_t end, Gone gone, Released& released) {
  const auto first = breaks_.begin() + static_cast<std::ptrdiff_t>(head_);
  const auto last = breaks_.begin() + static_cast<std::ptrdiff_t>(end);
  for (auto it = first; it != last; ++it) {
    if (!gone(*it))
      continue;
    nodes_ -= it->nodes.size();
    note_evicted(*it, released);
  }
  // Those that stay move up to the others that stay.
  const auto kept = std::stable_partition(first, last, gone);
  for (auto it = first; it != kept; ++it)
    *it = Break{};
  head_ += static_cast<std::size_t>(kept - first);
  if (head_ * 2 > breaks_.size()) {
    breaks_.erase(breaks_.begin(), breaks_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  const auto waits = [&](const Waiter& waiter) { return outstanding(waiter.number); };
  const auto free = std::stable_partition(waiters_.begin(), waiters_.end(), waits);
  released.waiters.insert(released.waiters.end(), free, waiters_.end());
  waiters_.erase(free, waiters_.end());
}

void Debt::acknowledge(std::uint64_t number, Released& released) {
  remove(
      place_after(number), [&](const Break& b) { return b.number == number || !b.flushing; },
      released);
}

void Debt::settle(std::uint64_t number, Released& released) {
  remove(
      place_after(number), [&](const Break& b) { return b.number == number; }, released);
}

void Debt::release_all(Released& released) {
  released.waiters.insert(released.waiters.end(), waiters_.begin(), waiters_.end());
  for (const Break& b : breaks())
    note_evicted(b, released);
  *this = Debt{};
}

std::optional<Instant> Debt::flush(std::uint64_t number, Instant until, Instant end) {
  if (!outstanding(number))
    return std::nullopt;
  Break& found = breaks_[find(number)];
  if (!std::exchange(found.flushing, true))
    found.flush_end = end;
  found.flush_until = std::max(found.flush_until, std::min(until, found.flush_end));
  return found.flush_until;
}

bool Debt::flushes() const {
  const auto list = breaks();
  return std::any_of(list.begin(), list.end(), [](const Break& b) { return b.flushing; });
}

bool Debt::flushes(std::uint64_t number) const {
  const std::size_t place = find(number);
  return place < breaks_.size() && breaks_[place].flushing;
}

std::vector<std::uint64_t> Debt::flushed(Instant now) const {
  std::vector<std::uint64_t> numbers;
  for (const Break& b : breaks()) {
    if (b.flushing && b.flush_until <= now)
      numbers.push_back(b.number);
  }
  return numbers;
}

std::size_t Debt::nodes_up_to(std::uint64_t number) const {
  std::size_t nodes = 0;
  for (const Break& b : breaks()) {
    if (b.number > number)
      break;
    if (!b.flushing)
      nodes += std::max<std::size_t>(1, b.nodes.size());
  }
  return nodes;
}

const Break* Debt::next_after(std::uint64_t number) const {
  const std::size_t place = place_after(number);
  return place < breaks_.size() ? &breaks_[place] : nullptr;
}

bool Debt::overdue(Instant now) const {
  const auto list = breaks();
  return std::any_of(list.begin(), list.end(),
                     [&](const Break& b) { return !b.flushing && b.overdue <= now; });
}

std::size_t Debt::memory_bytes() const {
  return sizeof(*this) + breaks_.capacity() * sizeof(Break) + nodes_ * sizeof(Touched) +
         newest_.memory_bytes() + waiters_.capacity() * sizeof(Waiter);
}

}  // namespace fileserver::promises
