#pragma once

// Deadlines of many things, earliest first. A deadline that moves later, which is what nearly all
// of them do, costs nothing until the old one comes up. Pure; not thread-safe.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "common/clock.hpp"

namespace common {

// `Id` is hashable and never reused while a deadline of its former owner is queued.
template <typename Id>
class TimerQueue {
 public:
  // The deadline of `id` is now `when`; Instant::max() means none. Cheap if it is not earlier than
  // what is queued.
  void set(Id id, Instant when) {
    if (when == Instant::max())
      return forget(id);
    auto [entry, inserted] = wanted_.try_emplace(id, Entry{when, when});
    if (!inserted) {
      entry->second.deadline = when;
      if (entry->second.queued <= when)
        return;
      entry->second.queued = when;
    }
    push(when, id);
  }

  void forget(Id id) { wanted_.erase(id); }

  // When expired() may have something to give; Instant::max() if never.
  [[nodiscard]] Instant next() const { return heap_.empty() ? Instant::max() : heap_.front().when; }

  // Takes one id whose deadline is at or before `now`; nothing when there is none. The id has no
  // deadline afterwards, until set() again.
  std::optional<Id> expired(Instant now) {
    while (!heap_.empty() && heap_.front().when <= now) {
      const Item item = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), later);
      heap_.pop_back();
      const auto found = wanted_.find(item.id);
      if (found == wanted_.end() || found->second.queued != item.when)
        continue;  // overtaken
      if (found->second.deadline > now) {
        found->second.queued = found->second.deadline;
        push(found->second.deadline, item.id);
        continue;
      }
      wanted_.erase(found);
      return item.id;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::size_t size() const { return wanted_.size(); }
  [[nodiscard]] std::size_t queued() const { return heap_.size(); }

 private:
  struct Entry {
    Instant deadline;
    Instant queued;  // the heap item that counts; others of this id are left-overs
  };
  struct Item {
    Instant when;
    Id id;
  };
  static bool later(const Item& a, const Item& b) { return a.when > b.when; }

  void push(Instant when, Id id) {
    // Left-overs are dropped when they outnumber the living, so the heap stays within a factor of
    // the number of ids whatever the pattern of set() and forget().
    if (heap_.size() > 64 && heap_.size() > 4 * wanted_.size())
      sweep();
    heap_.push_back({when, id});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  void sweep() {
    const auto overtaken = [this](const Item& item) {
      const auto found = wanted_.find(item.id);
      return found == wanted_.end() || found->second.queued != item.when;
    };
    heap_.erase(std::remove_if(heap_.begin(), heap_.end(), overtaken), heap_.end());
    std::make_heap(heap_.begin(), heap_.end(), later);
  }

  std::unordered_map<Id, Entry> wanted_;
  std::vector<Item> heap_;
};

}  // namespace common
