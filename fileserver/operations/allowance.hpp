#pragma once

// What each principal may use up, whatever his rights: so much at once, and then as fast as it
// comes back. For what there is only so much of for everybody.

#include <array>
#include <chrono>
#include <unordered_map>
#include <variant>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/sync/locked.hpp"
#include "common/ticket/principal.hpp"

namespace fileserver {

// Safe from any thread; never blocks but for a look into a table.
class Allowance {
 public:
  struct Rate {
    std::uint64_t most = 0;                  // at once
    std::chrono::nanoseconds comes_back{0};  // one of them
  };
  Allowance(const common::Clock& clock, Rate rate) : clock_(clock), rate_(rate) {}

  // Overloaded, with when to ask again: so many are not there, and nothing was taken.
  [[nodiscard]] common::Status take(common::ticket::PrincipalId who, std::uint64_t count);
  // Likewise, but takes nothing.
  [[nodiscard]] common::Status check(common::ticket::PrincipalId who, std::uint64_t count);
  // Of what was taken: it was used for what it is for, or for nothing.
  void give_back(common::ticket::PrincipalId who, std::uint64_t count);

 private:
  // Who has all that he may have is not in the table. More than a cell has principals that are busy
  // at a time.
  static constexpr std::size_t kMostPrincipals = 100'000;
  using Table =
      std::unordered_map<common::ticket::PrincipalId, common::Instant>;  // when he has all
  [[nodiscard]] common::Status ask(Table& table, common::ticket::PrincipalId who,
                                   std::uint64_t count, bool take);

  const common::Clock& clock_;
  const Rate rate_;
  common::Locked<Table> table_;
};

// Of one server.
struct Allowances {
  explicit Allowances(const common::Clock& clock)
      : node_ids(clock, {1 << 20, std::chrono::nanoseconds(std::chrono::seconds(1)) / 1'024}),
        wrong_hashes(clock, {16, std::chrono::minutes(1)}) {}

  // Node ids that were given and not made nodes of: who does nothing but ask for them uses up the
  // 2^40 of a volume in 34 years.
  Allowance node_ids;
  // Pieces of uploads whose bytes were not what their hash said (F54): who has sent so many is not
  // listened to for a while.
  Allowance wrong_hashes;

  // Room is kept for one principal's sessions by one call at a time, also while the store decides.
  using Alone = common::Locked<std::monostate>;
  [[nodiscard]] Alone& room_of(common::ticket::PrincipalId who) {
    return rooms_[who.value % kRooms];
  }

 private:
  static constexpr std::size_t kRooms = 64;  // more than there are workers to meet in one
  std::array<Alone, kRooms> rooms_;
};

}  // namespace fileserver
