#pragma once

// The queue of what is still to happen, and the small hash table that goes with it. Both reuse
// their memory, so a run allocates while it warms up and hardly afterwards.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/sim/random.hpp"

namespace common::sim {

enum class EventKind : std::uint8_t {
  Deliver,
  StreamDeliver,
  StreamNotice,
  Wake,
  Work,
  FaultBegin,
  FaultEnd,
  Boot,
  DiskDone,
  Release,  // of what a busy node could not take
  Heal,
};

// 32 bytes. `payload` is a message slot, timer key or index, according to the kind.
struct Event {
  std::int64_t at = 0;      // true time, ns since the run began
  std::uint64_t order = 0;  // breaks ties: first scheduled, first served
  std::uint64_t payload = 0;
  std::uint32_t node = 0;
  std::uint32_t kind_and_life = 0;  // kind in the low 8 bits, life of the node above

  [[nodiscard]] EventKind kind() const { return static_cast<EventKind>(kind_and_life & 0xFF); }
  [[nodiscard]] std::uint32_t life() const { return kind_and_life >> 8; }
};

// Earliest first; a heap with four children per node, which halves the cache misses of a binary
// one.
class EventQueue {
 public:
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  [[nodiscard]] const Event& top() const { return heap_.front(); }

  void push(const Event& event) {
    std::size_t i = heap_.size();
    heap_.push_back(event);
    while (i > 0) {
      const std::size_t parent = (i - 1) / 4;
      if (!before(event, heap_[parent]))
        break;
      heap_[i] = heap_[parent];
      i = parent;
    }
    heap_[i] = event;
  }

  Event pop() {
    const Event result = heap_.front();
    const Event last = heap_.back();
    heap_.pop_back();
    const std::size_t count = heap_.size();
    if (count == 0)
      return result;
    std::size_t i = 0;
    for (;;) {
      const std::size_t first = i * 4 + 1;
      if (first >= count)
        break;
      std::size_t best = first;
      const std::size_t end = first + 4 < count ? first + 4 : count;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (before(heap_[child], heap_[best]))
          best = child;
      }
      if (!before(heap_[best], last))
        break;
      heap_[i] = heap_[best];
      i = best;
    }
    heap_[i] = last;
    return result;
  }

 private:
  static bool before(const Event& a, const Event& b) {
    return a.at != b.at ? a.at < b.at : a.order < b.order;
  }
  std::vector<Event> heap_;
};

// Open addressing, linear probing; never iterated, so its order cannot leak into a run. A value
// equal to T{} counts as absent and is dropped when the table grows.
template <typename T>
class KeyTable {
 public:
  // The entry of `key`, made if need be; the reference lives until the next call.
  T& at(std::uint64_t key) {
    if ((used_ + 1) * 2 > slots_.size())
      grow();
    Slot& slot = find(slots_, key);
    if (!slot.taken) {
      slot.taken = true;
      slot.key = key;
      ++used_;
    }
    return slot.value;
  }
  // nullptr when there is no entry.
  T* find(std::uint64_t key) {
    if (slots_.empty())
      return nullptr;
    Slot& slot = find(slots_, key);
    return slot.taken ? &slot.value : nullptr;
  }
  void clear() {
    for (auto& slot : slots_)
      slot = Slot{};
    used_ = 0;
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    T value{};
    bool taken = false;
  };
  static Slot& find(std::vector<Slot>& slots, std::uint64_t key) {
    const std::size_t mask = slots.size() - 1;
    std::size_t i = mix(key) & mask;
    while (slots[i].taken && slots[i].key != key)
      i = (i + 1) & mask;
    return slots[i];
  }
  void grow() {
    std::size_t live = 0;
    for (const auto& slot : slots_)
      live += slot.taken && slot.value != T{} ? 1 : 0;
    std::size_t size = 16;
    while (size < (live + 1) * 4)
      size *= 2;
    std::vector<Slot> bigger(size);
    for (auto& slot : slots_) {
      if (slot.taken && slot.value != T{})
        find(bigger, slot.key) = slot;
    }
    slots_ = std::move(bigger);
    used_ = live;
  }
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace common::sim
