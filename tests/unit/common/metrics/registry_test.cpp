#include "common/metrics/registry.hpp"

#include <time.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "common/log/log.hpp"
#include "common/metrics/process.hpp"
#include "tests/support/test.hpp"

using namespace common::metrics;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

double value_of(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  REQUIRE(at != std::string::npos);
  return std::stod(text.substr(at + name.size() + 2));
}

}  // namespace

TEST_CASE("a counter, a gauge and a histogram look exactly as Prometheus reads them") {
  Registry registry;
  registry.counter("t_calls_total", "Calls.", {{"op", "status"}, {"code", "200"}}).inc(3);
  registry.gauge("t_open", "Open \\ now.").set(-1.5);
  Histogram& histogram = registry.histogram("t_wait_seconds", "Waits.", {0.1, 1}, {{"op", "x"}});
  for (const double wait : {0.05, 0.1, 0.5, 5.0})
    histogram.observe(wait);
  const std::string text = registry.render();
  const std::string expected =
      "# HELP t_calls_total Calls.\n"
      "# TYPE t_calls_total counter\n"
      "t_calls_total{op=\"status\",code=\"200\"} 3\n"
      "# HELP t_open Open \\\\ now.\n"
      "# TYPE t_open gauge\n"
      "t_open -1.5\n"
      "# HELP t_wait_seconds Waits.\n"
      "# TYPE t_wait_seconds histogram\n"
      "t_wait_seconds_bucket{op=\"x\",le=\"0.1\"} 2\n"
      "t_wait_seconds_bucket{op=\"x\",le=\"1\"} 3\n"
      "t_wait_seconds_bucket{op=\"x\",le=\"+Inf\"} 4\n"
      "t_wait_seconds_sum{op=\"x\"} 5.65\n"
      "t_wait_seconds_count{op=\"x\"} 4\n";
  CHECK(text.starts_with(expected));
}

TEST_CASE("the same name and labels give the same series; other labels another") {
  Registry registry;
  Counter& a = registry.counter("t_total", "T.", {{"k", "a"}});
  CHECK(&a == &registry.counter("t_total", "T.", {{"k", "a"}}));
  CHECK(&a != &registry.counter("t_total", "T.", {{"k", "b"}}));
}

TEST_CASE("label values cannot forge a series") {
  Registry registry;
  registry.counter("t_total", "T.", {{"peer", "x\"} 7\nforged_total 9\n\xff"}}).inc();
  const std::string text = registry.render();
  CHECK(text.find("\nforged_total") == std::string::npos);
  CHECK(has_line(text, "t_total{peer=\"x\\\"} 7\\nforged_total 9\\n\xEF\xBF\xBD\"} 1"));
}

TEST_CASE("beyond the cap all further label values share one series, and that is counted") {
  Registry registry;
  for (std::size_t i = 0; i < kMaxSeries + 10; ++i) {
    registry.counter("t_total", "T.", {{"peer", std::to_string(i)}}).inc();
  }
  registry.counter("t_total", "T.", {{"peer", "0"}}).inc();  // known before the cap was reached
  const std::string text = registry.render();
  CHECK(has_line(text, "t_total{peer=\"other\"} 10"));
  CHECK(has_line(text, "t_total{peer=\"0\"} 2"));
  CHECK(value_of(text, "troth_metrics_series_dropped_total") == 10);
  CHECK(text.find("peer=\"" + std::to_string(kMaxSeries + 3) + "\"") == std::string::npos);
}

TEST_CASE("a very long label value is cut") {
  Registry registry;
  registry.counter("t_total", "T.", {{"peer", std::string(100'000, 'x')}}).inc();
  CHECK(registry.render().size() < 2000);
}

TEST_CASE("a name used as something else keeps working, unseen, and is reported") {
  common::log::configure({.fd = -1});
  Registry registry;
  registry.counter("t_total", "T.").inc();
  registry.gauge("t_total", "T.").set(5);
  registry.histogram("t_h", "T.", {1, 2}).observe(1);
  registry.histogram("t_h", "T.", {1, 3}).observe(1);
  registry.counter("bad-name", "T.").inc();
  registry.counter("t_l_total", "T.", {{"le", "x"}}).inc();
  registry.sampled(Type::Counter, "t_total", "T.", {}, [] { return 9.0; });
  const std::string text = registry.render();
  common::log::configure({});
  CHECK(has_line(text, "t_total 1"));
  CHECK(text.find("bad-name") == std::string::npos);
  CHECK(value_of(text, "t_h_count") == 1);
  CHECK(value_of(text, "troth_metrics_conflicts_total") == 5);
}

TEST_CASE("an observation that is no number spoils neither sum nor count") {
  Histogram histogram({1.0});
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  histogram.observe(0.5);
  const auto snapshot = histogram.snapshot();
  CHECK(snapshot.sum == 0.5);
  CHECK(snapshot.cumulative == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("no increment is lost among threads, and rendering beside them is consistent") {
  Registry registry;
  Counter& counter = registry.counter("t_total", "T.");
  Gauge& gauge = registry.gauge("t_gauge", "T.");
  Histogram& histogram = registry.histogram("t_h", "T.", {1, 2});
  constexpr int kThreads = 4;
  constexpr int kTimes = 5000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTimes; ++i) {
        counter.inc();
        gauge.add(1);
        histogram.observe(i % 3);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const auto seen = histogram.snapshot().cumulative;
    CHECK(seen[0] <= seen[1]);
    CHECK(seen[1] <= seen[2]);
    CHECK_FALSE(registry.render().empty());
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(counter.value() == kThreads * kTimes);
  CHECK(gauge.value() == kThreads * kTimes);
  CHECK(histogram.snapshot().cumulative.back() == kThreads * kTimes);
}

TEST_CASE("the process describes itself") {
  Registry registry;
  add_process_metrics(registry);
  const std::string text = registry.render();
  CHECK(value_of(text, "process_resident_memory_bytes") > 100'000);
  CHECK(value_of(text, "process_virtual_memory_bytes") >=
        value_of(text, "process_resident_memory_bytes"));
  CHECK(value_of(text, "process_threads") >= 1);
  CHECK(value_of(text, "process_open_fds") >= 3);
  CHECK(value_of(text, "process_max_fds") > value_of(text, "process_open_fds"));
  CHECK(value_of(text, "process_cpu_seconds_total") >= 0);
  const double now = static_cast<double>(::time(nullptr));
  CHECK(std::abs(value_of(text, "process_start_time_seconds") - now) < 600);
}

TEST_CASE("open descriptors are counted exactly") {
  const double before = read_process_usage().open_fds;
  const int fd = ::dup(0);
  REQUIRE(fd >= 0);
  CHECK(read_process_usage().open_fds == before + 1);
  ::close(fd);
  CHECK(read_process_usage().open_fds == before);
}
