#include "tests/support/history/verdicts.hpp"

#include <numeric>

namespace history {

void Verdicts::add(Fault fault, std::string text) {
  ++counts_[static_cast<std::size_t>(fault)];
  if (texts_.size() < kKept)
    texts_.push_back(std::move(text));
}

std::uint64_t Verdicts::all() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

}  // namespace history
