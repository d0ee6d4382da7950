#pragma once

// What one session has been asked for and has not acknowledged yet, and which changes wait for it.
// Exists only while there is such a thing.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "fileserver/promises/holder_table.hpp"
#include "fileserver/promises/promise_core.hpp"

namespace fileserver::promises {

using common::Duration;

struct Break {
  std::uint64_t number = 0;
  std::uint64_t clock = 0;
  Instant overdue;        // from then on its session's renewals are not acknowledged (R11)
  bool flushing = false;  // withdrawn; others wait for its session's own changes (R29)
  Instant flush_until;    // and go on then
  Instant flush_end;      // which is then at the latest
  bool evicted = false;   // for room, not for a change
  std::vector<Touched> nodes;
};

// In which outstanding break a node was named last. A hash table of a few words for the usual case
// of a few nodes; what has been acknowledged is dropped when it grows.
class NewestBreaks {
 public:
  void set(NodeKey key, std::uint64_t number);
  // 0: in none.
  [[nodiscard]] std::uint64_t find(NodeKey key) const;
  [[nodiscard]] std::size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }
  template <typename Outstanding>
  void make_room(Outstanding outstanding) {
    if ((used_ + 1) * 2 <= slots_.size())
      return;
    std::vector<Slot> old;
    old.swap(slots_);
    std::erase_if(old,
                  [&](const Slot& slot) { return slot.number == 0 || !outstanding(slot.number); });
    rebuild(old);
  }

 private:
  struct Slot {
    NodeKey key = 0;
    std::uint64_t number = 0;  // 0: free
  };
  void rebuild(const std::vector<Slot>& living);
  [[nodiscard]] std::size_t place_of(NodeKey key) const;
  std::vector<Slot> slots_;  // a power of two
  std::size_t used_ = 0;
};

class Debt {
 public:
  struct Waiter {
    std::uint64_t number = 0;
    ChangeId change = 0;
    std::uint32_t round = 0;  // of the change's waiting
  };

  [[nodiscard]] bool empty() const { return breaks().empty(); }
  // Its session has been asked for everything, by this break, and has acknowledged it.
  void ask_everything(std::uint64_t number) { everything_ = number; }
  [[nodiscard]] bool gave_everything() const {
    return everything_ != 0 && (empty() || breaks().front().number > everything_);
  }
  // Breaks up to this number have been sent on the present stream.
  std::uint64_t sent = 0;
  // Outstanding ones, in order of number.
  [[nodiscard]] std::span<const Break> breaks() const { return std::span(breaks_).subspan(head_); }
  [[nodiscard]] std::size_t nodes() const { return nodes_; }
  [[nodiscard]] std::size_t evicted_nodes() const { return evicted_nodes_; }
  // How many nodes are in breaks up to `number`, flushing ones apart: their answer has come.
  [[nodiscard]] std::size_t nodes_up_to(std::uint64_t number) const;
  // The first after `number`; null if there is none.
  [[nodiscard]] const Break* next_after(std::uint64_t number) const;

  const Break& add(Break fresh);
  // The newest outstanding break that names the node; 0: none.
  [[nodiscard]] std::uint64_t newest(NodeKey key) const;
  void wait(Waiter waiter) { waiters_.push_back(waiter); }
  [[nodiscard]] std::size_t waiters() const { return waiters_.size(); }
  template <typename Dead>
  void forget_waiters(Dead dead) {
    std::erase_if(waiters_, dead);
  }

  // What an acknowledgement has set free: waiters that need wait no more, and nodes that were
  // evicted.
  struct Released {
    std::vector<Waiter> waiters;
    std::vector<Fid> evicted;
  };
  // `number` and all before it but those that are flushing.
  void acknowledge(std::uint64_t number, Released& released);
  // All of it: the session is over.
  void release_all(Released& released);
  // One of them alone: `number` has been flushed for long enough, or needs no flushing.
  void settle(std::uint64_t number, Released& released);
  // It is withdrawn, and flushing until then, `end` at the latest if it is the first time. Gives
  // until when; nothing if it is not outstanding.
  std::optional<Instant> flush(std::uint64_t number, Instant until, Instant end);
  [[nodiscard]] bool flushes() const;
  [[nodiscard]] bool flushes(std::uint64_t number) const;
  // Whose flushing is over.
  [[nodiscard]] std::vector<std::uint64_t> flushed(Instant now) const;
  // Waiters of flushing breaks that need not wait for flushing.
  template <typename Exempt>
  void release_exempt(Exempt exempt, Released& released) {
    const auto goes = [&](const Waiter& waiter) {
      return flushes(waiter.number) && exempt(waiter);
    };
    for (const Waiter& waiter : waiters_) {
      if (goes(waiter))
        released.waiters.push_back(waiter);
    }
    std::erase_if(waiters_, goes);
  }
  [[nodiscard]] bool overdue(Instant now) const;

  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  // Its place in `breaks_`; the size of that if it is not outstanding.
  [[nodiscard]] std::size_t find(std::uint64_t number) const;
  // The place of the first after it.
  [[nodiscard]] std::size_t place_after(std::uint64_t number) const;
  [[nodiscard]] bool outstanding(std::uint64_t number) const {
    return find(number) < breaks_.size();
  }

  template <typename Gone>
  void remove(std::size_t end, Gone gone, Released& released);
  void note_evicted(const Break& b, Released& released);

  std::vector<Break> breaks_;  // those before `head_` are gone
  std::size_t head_ = 0;
  std::size_t nodes_ = 0;
  std::size_t evicted_nodes_ = 0;
  std::uint64_t everything_ = 0;
  NewestBreaks newest_;
  std::vector<Waiter> waiters_;
};

}  // namespace fileserver::promises
