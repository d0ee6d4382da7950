#include "tests/soak/kdc_storm.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "common/io/unique_fd.hpp"
#include "common/ticket/proof.hpp"
#include "tests/soak/kdc_service.hpp"
#include "tests/support/process.hpp"

namespace soak_kdc {
namespace {

using namespace std::chrono_literals;
using common::Bytes;
using common::ByteView;
namespace ticket = common::ticket;

constexpr std::size_t kProofs = 10'000;  // of one round
constexpr std::size_t kMostProofBytes = 1024;
// A minute's proofs and more: the table must not be what ends the run.
constexpr std::size_t kCapacity = std::size_t{1} << 21;
constexpr int kThreads = 2;

// One proof, in memory that parent and children share through a file.
struct Slot {
  std::uint32_t size;
  std::byte bytes[kMostProofBytes];
  std::atomic<std::uint32_t> accepted;  // counted after the table has answered
  std::atomic<std::uint32_t> offered;
};

struct Shared {
  Slot slots[kProofs];
  std::atomic<std::uint64_t> replays;
  std::atomic<std::uint64_t> others;  // refused for another reason than having been seen
};

// The file's pages live through kill -9, like those of the table itself.
Shared* map_shared(const std::string& directory) {
  const common::UniqueFd fd(
      ::open((directory + "/proofs").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid() || ::ftruncate(fd.get(), sizeof(Shared)) != 0)
    die("cannot make the file of proofs");
  void* const mapped =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED)
    die("cannot map the file of proofs");
  return static_cast<Shared*>(mapped);
}

// A round's proofs, in place of the last one's.
void make_proofs(Shared& shared, const ticket::Credential& credential) {
  const common::SystemClock clock;
  for (Slot& slot : shared.slots) {
    const auto made =
        ticket::make_travelling_proof(credential, kHead, {}, ticket::to_time(clock.wall_now()));
    if (!made || made->size() > kMostProofBytes)
      die("cannot make a proof");
    std::memcpy(slot.bytes, made->data(), made->size());
    slot.size = static_cast<std::uint32_t>(made->size());
    slot.accepted = 0;
    slot.offered = 0;
  }
}

}  // namespace

void make_old_table(const ticket::ReplayCache::Options& options) {
  const common::SystemClock clock;
  const auto made =
      ticket::ReplayCache::open(options, ticket::to_time(clock.wall_now() - std::chrono::hours(1)));
  if (!made)
    die(made.error().message);
}

int storm_child(const std::string& directory, int rounds) {
  const common::SystemClock clock;
  const auto keytab = ticket::load_keytab(directory + "/keytab");
  if (!keytab)
    die(keytab.error().message);
  ticket::TicketOpener opener(keytab->cell(), keytab->principal());
  if (!opener.set_keys(*keytab))
    die("the keytab does not fit");
  const auto cache = ticket::ReplayCache::open(
      {.path = directory + "/table", .capacity = kCapacity}, ticket::to_time(clock.wall_now()));
  if (!cache)
    die(cache.error().message);
  ticket::ProofVerifier verifier(opener, **cache, clock);
  Shared& shared = *map_shared(directory);
  std::printf("ready\n");
  std::fflush(stdout);
  // All threads offer the same proofs at the same time.
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        for (Slot& slot : shared.slots) {
          const bool before = slot.accepted > 0;
          slot.offered.fetch_add(1);
          const auto proven = verifier.accept(ByteView(slot.bytes, slot.size), kHead);
          if (proven)
            slot.accepted.fetch_add(1);
          else if (proven.error().code != common::ErrorCode::Unauthenticated)
            shared.others.fetch_add(1);
          if (before)
            shared.replays.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  std::printf("done\n");
  std::fflush(stdout);
  return 0;
}

StormTally storm(const std::string& self, const std::string& directory,
                 const ticket::Credential& credential, const ticket::Keytab& keytab,
                 std::uint64_t seed, common::Instant deadline, const std::atomic<bool>& stop) {
  const common::SystemClock clock;
  std::mt19937_64 random(seed);
  if (const auto saved = ticket::save_keytab(keytab, directory + "/keytab"); !saved)
    die(saved.error().message);
  make_old_table({.path = directory + "/table", .capacity = kCapacity});
  Shared& shared = *map_shared(directory);
  StormTally tally;
  const auto start = [&](int rounds) {
    auto child = test_support::Process::spawn(self, {"--storm", directory, std::to_string(rounds)});
    if (!child || !child->wait_for_line("ready"))
      die("a child did not start");
    return *std::move(child);
  };
  while (!stop && clock.now() < deadline) {
    make_proofs(shared, credential);
    for (int kill = 0; kill < 2; ++kill) {
      auto child = start(1'000'000);
      // Killed when it has offered a random part of the proofs at least.
      const Slot& until = shared.slots[random() % kProofs];
      const std::uint32_t offered = until.offered;
      const auto patience = clock.now() + 30s;
      while (until.offered <= offered && clock.now() < patience)
        std::this_thread::yield();
      child.kill();
      ++tally.kills;
    }
    auto last = start(5);
    if (!last.wait(60s))
      die("a child did not end");
    tally.proofs += kProofs;
    for (const Slot& slot : shared.slots) {
      tally.accepted_again += slot.accepted > 1 ? slot.accepted - 1 : 0;
      tally.lost += slot.accepted == 0;
    }
    std::fprintf(stderr, "storm: %llu proofs, %llu replays, %llu accepted again\n",
                 static_cast<unsigned long long>(tally.proofs),
                 static_cast<unsigned long long>(shared.replays.load()),
                 static_cast<unsigned long long>(tally.accepted_again));
  }
  tally.replays = shared.replays;
  // A kill can hide one acceptance for each thread, and no more.
  tally.lost -= std::min(tally.lost, tally.kills * kThreads);
  if (shared.others > 0)
    std::fprintf(stderr, "storm: %llu proofs were refused for their time or for want of room\n",
                 static_cast<unsigned long long>(shared.others.load()));
  return tally;
}

}  // namespace soak_kdc
