// Crashes of a volume, of every kind that can be made on one machine; after each, the volume must
// be what the model says it was at some commit, not older than what was acknowledged.
//
//   soak_store_crash [--seconds N] [--seed S] [--parts 1|2|4|..]
//
// One process for each core simulates power losses (part 1); one more kills processes (2) and cuts
// the power of real file systems (4), in turn. store_crash_parts.hpp tells what each does. All
// files are in memory, in a mount namespace of our own where that is allowed: however this ends,
// nothing stays mounted or behind. Last line:
// {"crash_states":..,"kills":..,"power_cuts":..,"recoveries_cut":..,"rolled_back":..,"violations":..}

#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <thread>

#include "tests/soak/store_crash_parts.hpp"
#include "tests/support/soak_scratch.hpp"

namespace soak_store {

const common::SystemClock kClock;

void Soak::violation(const std::string& where, const std::string& why) const {
  ++tally.violations;
  std::fprintf(stderr, "violation: %s: %s\n", where.c_str(), why.c_str());
}

void Soak::judge(const common::Result<StoreVerdict>& verdict, const std::string& where) const {
  if (verdict) {
    tally.rolled_back += verdict->rolled_back != 0 ? 1 : 0;
  } else if (is_starved(verdict)) {
    ++tally.not_judged;
    std::fprintf(stderr, "not judged: %s\n", where.c_str());
  } else {
    violation(where, verdict.error().message);
  }
}

bool is_starved(const common::Result<StoreVerdict>& verdict) {
  return !verdict && verdict.error().code == common::ErrorCode::DeadlineExceeded;
}

common::Status check_creation(const std::string& directory, bool made, bool machine_restarted) {
  using store::Volume;
  const ScriptedClock clock;
  const auto options = crash_options(machine_restarted);
  auto volume = Volume::open(directory, options, clock);
  if (!volume && (made || volume.error().code != common::ErrorCode::NotFound))
    return tl::unexpected(volume.error());
  if (!volume)
    volume = Volume::create(directory, common::VolumeId{1}, options, clock);
  if (!volume)
    return tl::unexpected(volume.error().in("making it again"));
  TROTH_TRY(const store::Attributes root, (*volume)->attributes(store::kRootNode));
  if (root.kind != store::NodeKind::Directory)
    return common::fail(common::ErrorCode::Internal, "the root is no directory");
  store::CommitRequest request;
  store::Create create;
  create.parent = store::kRootNode;
  create.name = "first";
  request.operations = {create};
  TROTH_TRY(const auto reply, (*volume)->commit(request));
  TROTH_TRY_VOID((*volume)->wait_stable(reply, clock.now() + std::chrono::seconds(60)));
  return (*volume)->close();
}

}  // namespace soak_store

namespace {

using namespace soak_store;  // NOLINT(google-build-using-namespace): every name here is of it

void simulate(const Soak& soak) {
  lose_power(soak);
}

void kill_and_cut(const Soak& soak, bool kill, bool cut) {
  Kills kills(soak);
  PowerCuts cuts(soak);
  while ((kill || cut) && !soak.over()) {
    if (cut)
      cut = cuts.round();
    if (kill && !soak.over())
      kills.round();
  }
}

template <typename Part>
pid_t start_part(const Soak& soak, std::uint64_t seed, Part&& part) {
  const pid_t pid = ::fork();
  if (pid != 0)
    return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    Soak mine = soak;
    mine.scratch = soak.scratch + "/part" + std::to_string(seed);
    std::filesystem::create_directory(mine.scratch);
    mine.seed = seed;
    part(mine);
  } catch (const std::exception& error) {
    soak.violation("the harness", error.what());
  }
  ::_exit(0);
}

std::uint64_t argument(int count, char** values, const char* name, std::uint64_t fallback) {
  for (int i = 1; i + 1 < count; ++i) {
    if (std::strcmp(values[i], name) == 0)
      return std::strtoull(values[i + 1], nullptr, 10);
  }
  return fallback;
}

void print(const Tally& tally) {
  const auto number = [](const std::atomic<std::uint64_t>& value) {
    return static_cast<unsigned long long>(value.load());
  };
  std::printf(
      "{\"crash_states\":%llu,\"kills\":%llu,\"power_cuts\":%llu,\"cuts_on_xfs\":%llu,"
      "\"creations\":%llu,\"recoveries_cut\":%llu,\"workloads\":%llu,\"rolled_back\":%llu,"
      "\"not_judged\":%llu,\"violations\":%llu}\n",
      number(tally.crash_states), number(tally.kills), number(tally.power_cuts),
      number(tally.cuts_on_xfs), number(tally.creations), number(tally.recoveries_cut),
      number(tally.workloads), number(tally.rolled_back), number(tally.not_judged),
      number(tally.violations));
}

int run(int argc, char** argv, Tally& tally) {
  const SoakScratch scratch;
  const auto base = make_crash_base(scratch.path() + "/base");
  if (!base) {
    std::fprintf(stderr, "no volume to begin with: %s\n", base.error().message.c_str());
    return 1;
  }
  const common::Instant end =
      kClock.now() + std::chrono::seconds(argument(argc, argv, "--seconds", 60));
  const Soak soak{tally, end, argument(argc, argv, "--seed", 1), *base, scratch.path()};
  const std::uint64_t which = argument(argc, argv, "--parts", 7);
  std::vector<pid_t> parts;
  if ((which & 1) != 0) {
    for (std::uint64_t i = 0; i < std::max(std::thread::hardware_concurrency(), 1U); ++i)
      parts.push_back(start_part(soak, soak.seed + i * 1'000'003, simulate));
  }
  if ((which & 6) != 0)
    parts.push_back(start_part(soak, soak.seed + 500'000, [&](const Soak& mine) {
      kill_and_cut(mine, (which & 2) != 0, (which & 4) != 0);
    }));
  for (const pid_t part : parts) {
    int status = 0;
    if (part < 0 || ::waitpid(part, &status, 0) != part || status != 0) {
      std::fprintf(stderr, "violation: a part of the soak died\n");
      ++tally.violations;
    }
  }
  print(tally);
  return tally.violations == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  void* const shared =
      ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    std::abort();
  // Images of volumes come and go by the thousand: their memory is kept instead of given back.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 512 << 20);
  return run(argc, argv, *new (shared) Tally);
}
