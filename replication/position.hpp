#pragma once

// A place in a volume's history, and how two of them compare.

#include <compare>
#include <optional>
#include <span>
#include <string>

#include "common/ids.hpp"

namespace replication {

// Up to where somebody has a volume's commits. The epoch says who might commit when this was
// written and counts first: after an unclean change of primary the new one begins above everything
// that the old one can have numbered, but the old one may still hold commits that nobody else ever
// acknowledged. Those carry a lower epoch and lose, whatever their number is.
struct Position {
  common::Epoch epoch;
  common::Seq seq;
  friend constexpr auto operator<=>(const Position&, const Position&) = default;
};

// What a replica at `mine` must do to follow a primary at `theirs`.
enum class Follow : std::uint8_t {
  Nothing,   // it has everything
  Fetch,     // it lacks the commits after its own position and can append them
  RollBack,  // it holds commits of an older epoch that the primary never had: they go first
  Refuse,    // the other is behind: not a primary to follow
};

// `end_of_my_epoch` is the last seq that the primary's history has in epochs up to mine.epoch:
// where the two histories may part. It is asked of the primary, because only it knows what came
// after.
Follow compare(const Position& mine, const Position& theirs, common::Seq end_of_my_epoch);

// The position that at least `majority` of these have reached: nothing at or below it can be lost
// while a majority lives. nullopt: fewer than `majority` positions.
std::optional<Position> reached_by(std::span<const Position> positions, std::size_t majority);

// "epoch.seq", as logs and status show it.
std::string to_string(const Position& position);

}  // namespace replication
