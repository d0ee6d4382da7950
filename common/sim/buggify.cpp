#include "common/sim/buggify.hpp"

#include <algorithm>

namespace common::sim {

bool Buggify::fires(std::string_view name) {
  auto point =
      std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return p.name == name; });
  if (point == points_.end()) {
    const bool off = !on_ || std::find(off_.begin(), off_.end(), name) != off_.end();
    const bool live = scale(mix(seed_, hash_text(name)), kAlways) < kEnabled;
    points_.push_back(Point{.name = std::string(name), .enabled = live && !off});
    point = std::prev(points_.end());
  }
  ++point->asked;
  // By visit, not by a running stream: switching one point off leaves the others as they were.
  const std::uint64_t draw = mix(mix(seed_, hash_text(name)), point->asked);
  if (!on_ || !point->enabled || scale(draw, kAlways) >= kFires)
    return false;
  ++point->fired;
  return true;
}

}  // namespace common::sim
