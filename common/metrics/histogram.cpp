#include <algorithm>
#include <cmath>

#include "common/metrics/registry.hpp"

namespace common::metrics {
namespace {

// std::atomic<double>::fetch_add is a loop too, and not in every library that we build with.
void add_to(std::atomic<double>& target, double by) {
  double seen = target.load(std::memory_order_relaxed);
  while (!target.compare_exchange_weak(seen, seen + by, std::memory_order_relaxed)) {
  }
}

}  // namespace

void Gauge::add(double by) {
  add_to(value_, by);
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::observe(double value) {
  const bool number = !std::isnan(value);
  const auto bucket =
      number ? std::lower_bound(bounds_.begin(), bounds_.end(), value) : bounds_.end();
  if (number)
    add_to(sum_, value);
  counts_[static_cast<std::size_t>(bucket - bounds_.begin())].fetch_add(1,
                                                                        std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot result;
  result.cumulative.reserve(counts_.size());
  std::uint64_t total = 0;
  for (const auto& count : counts_) {
    total += count.load(std::memory_order_relaxed);
    result.cumulative.push_back(total);
  }
  result.sum = sum_.load(std::memory_order_relaxed);
  return result;
}

const std::vector<double>& latency_buckets() {
  static const std::vector<double> kBounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                           0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                           1,      2.5,     5,      10};
  return kBounds;
}

const std::vector<double>& size_buckets() {
  static const std::vector<double> kBounds{1024,     4096,      16384,     65536,
                                           262144,   1048576,   4194304.,  16777216,
                                           67108864, 268435456, 1073741824};
  return kBounds;
}

}  // namespace common::metrics
