#pragma once

// A number that grows whenever somebody's rights in a volume may have changed: with every commit
// that changes a mode, owner or list of a directory, or moves one. Verdicts about directories are
// kept under it, and a transaction that finds it as it was at the check need not check again.

#include <atomic>
#include <cstdint>
#include <optional>

namespace fileserver {

// Safe from any thread, never blocks. Transactions of one volume run one after the other; what this
// adds is that none can pass between the commit of such a change and the growth of the number:
// begin() is called inside its transaction, end() when it has been committed or given up.
class AccessGeneration {
 public:
  // `first`: above all that the volume had when it was open before.
  explicit AccessGeneration(std::uint64_t first) : value_(first * kOneChange) {}
  // The lowest that it has not had.
  [[nodiscard]] std::uint64_t next() const { return value_.load() / kOneChange + 1; }

  // What verdicts may be kept under; nullopt while a change is under way: judge, and keep nothing.
  [[nodiscard]] std::optional<std::uint64_t> now() const {
    const std::uint64_t value = value_.load(std::memory_order_acquire);
    if (value % kOneChange != 0)
      return std::nullopt;
    return value / kOneChange;
  }
  void begin() { value_.fetch_add(1, std::memory_order_acq_rel); }
  void end() { value_.fetch_add(kOneChange - 1, std::memory_order_acq_rel); }

 private:
  // Below it: how many are under way. More threads than that no server has.
  static constexpr std::uint64_t kOneChange = 1 << 20;
  std::atomic<std::uint64_t> value_;
};

}  // namespace fileserver
