#pragma once

// Buggify points: places where code says "here the rare thing would be allowed", and the simulator
// makes it happen: a cache that evicts at once, a batch of one, a retry that was not needed. Unlike
// a planted bug, what a point does is always correct, only unlikely.
//
//   if (sim::buggify(options_.buggify, "promise-evict-early")) evict();
//
// The pointer is null in production.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/sim/random.hpp"

namespace common::sim {

class Buggify {
 public:
  struct Point {
    std::string name;
    bool enabled = false;
    std::uint64_t asked = 0;
    std::uint64_t fired = 0;
    std::uint64_t seed = 0;  // of its draws
  };
  // A quarter of the points is live in a run, and those fire at one visit in eight: all of them at
  // once would make every run the same mess.
  static constexpr Ppm kEnabled = kAlways / 4;
  static constexpr Ppm kFires = kAlways / 8;

  Buggify(std::uint64_t seed, bool on, std::vector<std::string> off)
      : seed_(seed), on_(on), off_(std::move(off)) {}

  // Whether the rare thing happens now. `name` is a literal, unique in the program.
  bool fires(std::string_view name);
  // From now on nothing fires: the cell has healed, and must come to rest.
  void stop() { on_ = false; }
  [[nodiscard]] const std::vector<Point>& points() const { return points_; }

 private:
  std::uint64_t seed_;
  bool on_;
  std::vector<std::string> off_;
  std::vector<Point> points_;
};

#ifdef TROTH_NO_PLANTED_BUGS
inline bool buggify(Buggify*, std::string_view) {
  return false;
}
#else
inline bool buggify(Buggify* points, std::string_view name) {
  return points != nullptr && points->fires(name);
}
#endif

}  // namespace common::sim
