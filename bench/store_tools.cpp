#include "bench/store_tools.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace bench {

using common::sim::mix;

Scratch::Scratch()
    : path_((std::filesystem::temp_directory_path() / "troth-bench-store-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr)
    give_up("no scratch directory");
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Scratch::make(const std::string& name) const {
  std::string path = path_ + "/" + name;
  std::filesystem::create_directory(path);
  return path;
}

void give_up(const std::string& what) {
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::exit(1);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

double quantile(std::vector<double>& values, double part) {
  if (values.empty())
    return 0;
  const auto at = static_cast<std::size_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

double median_of(int runs, const char* name, const std::function<double()>& measure) {
  std::vector<double> values;
  for (int i = 0; i < runs; ++i)
    values.push_back(measure());
  std::fprintf(stderr, "%s:", name);
  for (const double value : values)
    std::fprintf(stderr, " %.4g", value);
  std::fprintf(stderr, "\n");
  return median(values);
}

namespace {

// The number after `key` in a file of /proc.
std::uint64_t number_in(const char* path, const std::string& key) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    std::uint64_t value = 0;
    if (word == key && in >> value)
      return value;
  }
  return 0;
}

}  // namespace

double peak_rss_mib() {
  return static_cast<double>(number_in("/proc/self/status", "VmHWM:")) / 1024;
}

std::uint64_t written_bytes() {
  return number_in("/proc/self/io", "wchar:");
}

store::Bytes random_bytes(std::size_t length, std::uint64_t seed) {
  common::sim::Random random(seed);
  store::Bytes bytes(length);
  std::size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  for (; i < length; ++i)
    bytes[i] = static_cast<std::byte>(random.next());
  return bytes;
}

std::string random_name(std::uint64_t number) {
  return fmt::format("name-{:016x}.c", mix(number)).append(1, 'x');
}

std::string ordered_name(std::uint64_t number) {
  return fmt::format("name-{:016}.cx", number);
}

store::NodeId make_directory(store::Volume& volume, const std::string& name) {
  store::CommitRequest request;
  store::Create create;
  create.parent = store::kRootNode;
  create.name = name;
  create.kind = store::NodeKind::Directory;
  create.mode = 0755;
  request.operations = {create};
  return must(volume.commit(request), "a directory").created.at(0);
}

store::Operation create_file(store::NodeId parent, std::string name) {
  store::Create create;
  create.parent = parent;
  create.name = std::move(name);
  create.mode = 0644;
  create.uid = create.gid = 1000;
  return create;
}

void populate(store::Volume& volume, std::uint64_t count,
              const std::function<store::Operation(std::uint64_t)>& make) {
  constexpr std::uint64_t kAtOnce = 2000;
  for (std::uint64_t done = 0; done < count;) {
    store::CommitRequest request;
    const std::uint64_t end = std::min(done + kAtOnce, count);
    for (; done < end; ++done)
      request.operations.push_back(make(done));
    must(volume.commit(request), "populating");
  }
}

Rate run_callers(int callers, double seconds, bool latencies,
                 const std::function<void(int, std::uint64_t)>& work) {
  std::atomic<std::uint64_t> done{0};
  std::vector<std::vector<double>> taken(static_cast<std::size_t>(callers));
  const double begun = seconds_now();
  const auto run = [&](int caller) {
    auto& mine = taken[static_cast<std::size_t>(caller)];
    std::uint64_t i = 0;
    double before = seconds_now();
    while (before < begun + seconds) {
      work(caller, i++);
      const double after = seconds_now();
      if (latencies)
        mine.push_back(after - before);
      before = after;
    }
    done += i;
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < callers; ++i)
    threads.emplace_back(run, i);
  run(0);
  for (std::thread& thread : threads)
    thread.join();
  Rate rate;
  rate.per_s = static_cast<double>(done.load()) / (seconds_now() - begun);
  for (const auto& mine : taken)
    rate.latencies.insert(rate.latencies.end(), mine.begin(), mine.end());
  return rate;
}

void Report::add(std::string_view name, double value) {
  std::fprintf(stderr, "%.*s = %.4g\n", static_cast<int>(name.size()), name.data(), value);
  fields_ += fmt::format("{}\"{}\":{:.6g}", fields_.empty() ? "" : ",", name, value);
}

void Report::value(std::string_view name, double value) {
  add(name, value);
}

void Report::at_least(std::string_view name, double value, double demanded) {
  add(name, value);
  demands_ += fmt::format("{}\"{}\":\">= {:g}\"", demands_.empty() ? "" : ",", name, demanded);
  if (value < demanded)
    missed_ += fmt::format("{}\"{}\"", missed_.empty() ? "" : ",", name);
}

void Report::at_most(std::string_view name, double value, double demanded) {
  add(name, value);
  demands_ += fmt::format("{}\"{}\":\"<= {:g}\"", demands_.empty() ? "" : ",", name, demanded);
  if (value > demanded)
    missed_ += fmt::format("{}\"{}\"", missed_.empty() ? "" : ",", name);
}

void Report::print() const {
  std::printf("{%s,\"demanded\":{%s},\"missed\":[%s]}\n", fields_.c_str(), demands_.c_str(),
              missed_.c_str());
}

}  // namespace bench
