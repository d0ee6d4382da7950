#pragma once

// What the measurements of the volume store share.

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/sim/random.hpp"
#include "fileserver/store/volume.hpp"

namespace bench {

namespace store = fileserver::store;

// A directory of the disk to be measured (TMPDIR, else /tmp), removed in the end.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string make(const std::string& name) const;

 private:
  std::string path_;
};

// Ends the program with this sentence: a measurement of something that failed says nothing.
[[noreturn]] void give_up(const std::string& what);

template <typename T>
T must(common::Result<T> result, const char* what) {
  if (!result)
    give_up(std::string(what) + ": " + result.error().message);
  if constexpr (!std::is_void_v<T>)
    return *std::move(result);
}

[[nodiscard]] double seconds_now();
[[nodiscard]] double median(std::vector<double> values);
// The value below which this part of them lies.
[[nodiscard]] double quantile(std::vector<double>& values, double part);
// Runs it this often, telling each value on stderr.
[[nodiscard]] double median_of(int runs, const char* name, const std::function<double()>& measure);

// Of this process: the most memory at any time, bytes handed to the kernel for writing.
[[nodiscard]] double peak_rss_mib();
[[nodiscard]] std::uint64_t written_bytes();

[[nodiscard]] store::Bytes random_bytes(std::size_t length, std::uint64_t seed);
// 24 bytes; in no order, or in order of `number`.
[[nodiscard]] std::string random_name(std::uint64_t number);
[[nodiscard]] std::string ordered_name(std::uint64_t number);

[[nodiscard]] store::NodeId make_directory(store::Volume& volume, const std::string& name);
[[nodiscard]] store::Operation create_file(store::NodeId parent, std::string name);
// Many empty files, 2,000 in a commit.
void populate(store::Volume& volume, std::uint64_t count,
              const std::function<store::Operation(std::uint64_t)>& make);

// `work(caller, i)` by so many threads for so long; per second, all together.
struct Rate {
  double per_s = 0;
  std::vector<double> latencies;  // seconds, if asked for
};
[[nodiscard]] Rate run_callers(int callers, double seconds, bool latencies,
                               const std::function<void(int, std::uint64_t)>& work);

// Values and what is demanded of them, as one line of JSON.
class Report {
 public:
  void value(std::string_view name, double value);
  void at_least(std::string_view name, double value, double demanded);
  void at_most(std::string_view name, double value, double demanded);
  // Prints the line; whether all demands were met is in it: "missed" lists those that were not.
  void print() const;

 private:
  void add(std::string_view name, double value);
  std::string fields_;
  std::string demands_;
  std::string missed_;
};

}  // namespace bench
