#pragma once

// What a process counts about itself, and its Prometheus text.
//
//   Counter& refused = registry.counter("troth_rpc_refused_total", "Connections refused.",
//                                       {{"reason", "cap"}});
//   refused.inc();
//
// A metric is looked up once, where its owner is built, and then kept as a reference: looking up
// takes a lock, counting never does. References live as long as the registry. There is no global
// registry: main owns one and passes it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/sync/locked.hpp"

namespace common::metrics {

// Most series (combinations of label values) of one metric. Labels whose values come from peers
// would otherwise grow without end; 256 is far more than any table that a person reads. Beyond it
// all further combinations share one series whose label values are "other", and
// troth_metrics_series_dropped_total counts the look-ups that ended there.
inline constexpr std::size_t kMaxSeries = 256;

// Label values are cut to this many bytes.
inline constexpr std::size_t kMaxLabelValue = 128;

// Only grows. Any thread, never blocks.
class Counter {
 public:
  void inc(std::uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Goes up and down. Any thread, never blocks.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by);
  void sub(double by) { add(-by); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Counts observations in fixed buckets. Any thread, never blocks.
class Histogram {
 public:
  // `bounds` ascending; an observation counts in the first bucket whose bound it does not exceed.
  explicit Histogram(std::vector<double> bounds);

  // What is no number is counted in the last bucket and not added to the sum.
  void observe(double value);

  struct Snapshot {
    std::vector<std::uint64_t> cumulative;  // one for each bound, then everything
    double sum = 0;
  };
  // Never torn so that a bucket is larger than a later one; `sum` may be one observation ahead.
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] const std::vector<double>& bounds() const { return bounds_; }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

// Seconds, from 100 microseconds to 10 seconds: a local call, a disk write, a missed deadline.
const std::vector<double>& latency_buckets();
// Bytes, from 1 KiB to 1 GiB in steps of four.
const std::vector<double>& size_buckets();

using Label = std::pair<std::string_view, std::string_view>;
using Labels = std::initializer_list<Label>;
enum class Type : std::uint8_t { Counter, Gauge, Histogram };

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The series of that name and those labels, made on first use; asking again returns the same one.
  // Any thread; takes the registry's lock. `name` and label names are constants of ours: one that
  // Prometheus would refuse, or a name used before with another type or other buckets, is a bug;
  // it is logged, counted in troth_metrics_conflicts_total, and the caller gets a series that works
  // but is not shown, because a wrong name is no reason to stop serving.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help,
                       const std::vector<double>& bounds, Labels labels = {});

  // A series whose value is asked for whenever the text is rendered: what the kernel or another
  // table already counts. `sample` runs under the registry's lock, in the renderer's thread: it
  // must be quick and must not use the registry. It must stay valid as long as the registry.
  void sampled(Type type, std::string_view name, std::string_view help, Labels labels,
               std::function<double()> sample);

  // All metrics in the text exposition format, version 0.0.4, in order of their names. Any thread.
  [[nodiscard]] std::string render() const;

 private:
  struct Series;
  struct Family;
  struct State;
  struct Shape;

  Series& series(const Shape& shape, std::string_view name, std::string_view help, Labels labels);

  mutable Locked<std::unique_ptr<State>> state_;
};

}  // namespace common::metrics
