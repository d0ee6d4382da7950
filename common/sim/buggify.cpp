#include "common/sim/buggify.hpp"

#include <algorithm>

namespace common::sim {

bool Buggify::fires(std::string_view name) {
  auto point =
      std::find_if(points_.begin(), points_.end(), [&](const Point& p) { return p.name == name; });
  if (point == points_.end()) {
    const bool off = !on_ || std::find(off_.begin(), off_.end(), name) != off_.end();
    const std::uint64_t seed = mix(seed_, hash_text(name));
    const bool live = scale(seed, kAlways) < kEnabled;
    points_.push_back(Point{.name = std::string(name), .enabled = live && !off, .seed = seed});
    point = std::prev(points_.end());
  }
  ++point->asked;
  if (!on_ || !point->enabled)
    return false;
  // By visit, not by a running stream: switching one point off leaves the others as they were.
  if (scale(mix(point->seed, point->asked), kAlways) >= kFires)
    return false;
  ++point->fired;
  return true;
}

}  // namespace common::sim
