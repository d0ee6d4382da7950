// Kills writers and cuts the power of databases for as long as asked.
//   soak_db_crash --seconds 60 --seed 1
// Last line:
// {"kills":..,"crash_images":..,"acked_lost":..,"corrupt":..,"stable_lost":..,"violations":..}

#include <stdlib.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "tests/support/db_crash_check.hpp"
#include "tests/support/db_crash_model.hpp"

namespace {

using namespace std::chrono_literals;
using common::Instant;
using test_support::RecordingDisk;

const common::SystemClock kClock;

struct Tally {
  std::uint64_t kills = 0;
  std::uint64_t crash_images = 0;
  std::uint64_t acked_lost = 0;
  std::uint64_t corrupt = 0;
  std::uint64_t stable_lost = 0;
  [[nodiscard]] std::uint64_t violations() const { return acked_lost + corrupt + stable_lost; }
};

struct Scratch {
  std::string path = test_support::scratch_directory() + "/troth-soak-db-XXXXXX";
  Scratch() {
    if (::mkdtemp(path.data()) == nullptr)
      std::abort();
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string db() const { return path + "/test.db"; }
};

void report(const char* what, const std::string& why, std::uint64_t seed) {
  std::fprintf(stderr, "violation: %s: %s (seed %llu)\n", what, why.c_str(),
               static_cast<unsigned long long>(seed));
}

// One database, killed again and again: while it is made, writes, copies its WAL, or recovers.
void kill_round(std::uint64_t seed, int kills, Tally& tally) {
  std::mt19937_64 random(seed);
  const Scratch scratch;
  void* const shared =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    std::abort();
  auto& acknowledged = *static_cast<std::atomic<std::int64_t>*>(shared);
  for (int i = 0; i < kills; ++i) {
    const auto write = [&] {
      auto db = test_support::open_crash_database(scratch.db(), kClock);
      if (!db)
        return;
      for (std::int64_t next = acknowledged.load() + 1;; ++next) {
        if (!test_support::add_entry(**db, next))
          return;
        acknowledged.store(next);
      }
    };
    test_support::run_and_kill(write, std::chrono::microseconds(random() % 20'000 + 200));
    ++tally.kills;
    const auto verdict = test_support::inspect_crash_database(scratch.db(), kClock);
    if (!verdict.consistent) {
      ++tally.corrupt;
      report("inconsistent after kill", verdict.why, seed);
      break;
    }
    if (verdict.entries < acknowledged.load()) {
      ++tally.acked_lost;
      report("acknowledged commit lost", std::to_string(acknowledged.load()), seed);
      break;
    }
    acknowledged.store(verdict.entries + 1);
  }
  ::munmap(shared, 4096);
}

// One recorded run, and many power losses in it.
void power_round(std::uint64_t seed, int images, Tally& tally) {
  std::mt19937_64 random(seed);
  const Scratch original;
  RecordingDisk disk;
  {
    auto db = test_support::open_crash_database(original.db(), kClock, &disk);
    if (!db)
      std::abort();
    disk.start(original.db());
    const auto sync_every = random() % 30 + 1;
    for (std::int64_t key = 1; key <= 300; ++key) {
      const auto number = test_support::add_entry(**db, key);
      if (!number)
        std::abort();
      if (random() % sync_every != 0)
        continue;
      if (!(*db)->wait_stable(*number, kClock.now() + 30s))
        std::abort();
      disk.note_stable((*db)->stable());
    }
  }
  const Scratch scratch;
  for (int i = 0; i < images; ++i) {
    const std::size_t position = random() % (disk.length() + 1);
    const auto image = disk.make_image(position, random, scratch.db());
    std::filesystem::remove(scratch.db() + "-shm");
    const auto verdict = test_support::inspect_crash_database(scratch.db(), kClock);
    ++tally.crash_images;
    if (!verdict.consistent) {
      ++tally.corrupt;
      report("inconsistent after power loss", verdict.why, seed);
    } else if (verdict.commits < image.stable) {
      ++tally.stable_lost;
      report("stable commit lost", std::to_string(image.stable), seed);
    }
  }
}

std::uint64_t argument(int count, char** values, const char* name, std::uint64_t fallback) {
  for (int i = 1; i + 1 < count; ++i) {
    if (std::strcmp(values[i], name) == 0)
      return std::strtoull(values[i + 1], nullptr, 10);
  }
  return fallback;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seconds = argument(argc, argv, "--seconds", 60);
  std::uint64_t seed = argument(argc, argv, "--seed", 1);
  const Instant end = kClock.now() + std::chrono::seconds(seconds);
  Tally tally;
  while (kClock.now() < end) {
    kill_round(seed, 20, tally);
    power_round(seed, 200, tally);
    ++seed;
    std::fprintf(stderr, "seed %llu: %llu kills, %llu crash images, %llu violations\n",
                 static_cast<unsigned long long>(seed),
                 static_cast<unsigned long long>(tally.kills),
                 static_cast<unsigned long long>(tally.crash_images),
                 static_cast<unsigned long long>(tally.violations()));
  }
  std::printf(
      "{\"kills\":%llu,\"crash_images\":%llu,\"acked_lost\":%llu,\"corrupt\":%llu,"
      "\"stable_lost\":%llu,\"violations\":%llu}\n",
      static_cast<unsigned long long>(tally.kills),
      static_cast<unsigned long long>(tally.crash_images),
      static_cast<unsigned long long>(tally.acked_lost),
      static_cast<unsigned long long>(tally.corrupt),
      static_cast<unsigned long long>(tally.stable_lost),
      static_cast<unsigned long long>(tally.violations()));
  return tally.violations() == 0 ? 0 : 1;
}
