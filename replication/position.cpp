#include "replication/position.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace replication {

Follow compare(const Position& mine, const Position& theirs, common::Seq end_of_my_epoch) {
  if (mine == theirs)
    return Follow::Nothing;
  if (mine > theirs)
    return Follow::Refuse;
  if (mine.epoch < theirs.epoch && mine.seq > end_of_my_epoch)
    return Follow::RollBack;
  return Follow::Fetch;
}

std::optional<Position> reached_by(std::span<const Position> positions, std::size_t majority) {
  if (majority == 0 || positions.size() < majority)
    return std::nullopt;
  std::vector<Position> sorted(positions.begin(), positions.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  return sorted[majority - 1];
}

std::string to_string(const Position& position) {
  return fmt::format("{}.{}", position.epoch.value, position.seq.value);
}

}  // namespace replication
