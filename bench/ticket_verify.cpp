#include "ticket_verify.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/crypto/aead.hpp"
#include "common/crypto/hash.hpp"
#include "common/ticket/credential.hpp"
#include "common/ticket/proof.hpp"
#include "common/ticket/verifier.hpp"

namespace bench {
namespace {

using namespace common;
using namespace common::ticket;

constexpr int kRounds = 7;
constexpr double kSecondsPerRound = 0.15;
constexpr std::string_view kCell = "c0ffee0000000001";
constexpr std::string_view kService = "fileserver/fs1";

template <typename T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  return *std::move(result);
}
void must(Status status) {
  if (!status) {
    std::fprintf(stderr, "bench: %s\n", status.error().message.c_str());
    std::exit(1);
  }
}

// Of this thread: what else the machine does must not show.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Microseconds of one call in one round.
double round_us(const std::function<void()>& call) {
  constexpr int kBatch = 64;
  std::uint64_t calls = 0;
  const double start = cpu_seconds();
  double passed = 0;
  do {
    for (int i = 0; i < kBatch; ++i)
      call();
    calls += kBatch;
    passed = cpu_seconds() - start;
  } while (passed < kSecondsPerRound);
  return passed * 1e6 / static_cast<double>(calls);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

TicketBody usual_body(Time now) {
  TicketBody body;
  body.session_key = must(new_key());
  body.client = {"somebody", Kind::User, PrincipalId{12'345}};
  body.client_kvno = 1;
  body.validity = {now, now, now + std::chrono::hours(10), std::nullopt, false};
  for (std::uint32_t i = 0; i < 16; ++i)
    body.groups.push_back(PrincipalId{10'000 + i});
  return body;
}

// A directory for the table of proofs, gone afterwards.
class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "troth-bench-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr)
      must(Status(fail_errno(errno, "mkdtemp")));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// One service and one client of it.
struct Parties {
  Parties() : verifier(std::string(kCell), std::string(kService), clock) {
    const Time now = to_time(clock.wall_now());
    const crypto::Secret key = must(new_key());
    Keytab keytab = must(Keytab::make(kCell, kService));
    must(keytab.add(1, key.clone()));
    must(verifier.set_keys(keytab));
    const TicketBody body = usual_body(now);
    credential.cell = kCell;
    credential.client = body.client;
    credential.service = kService;
    credential.kvno = 1;
    credential.validity = body.validity;
    credential.ticket = must(seal_ticket(key, kCell, kService, 1, body));
    credential.session_key = body.session_key.clone();
  }
  SystemClock clock;
  Verifier verifier;
  Credential credential;
};

// Proofs made beforehand, each accepted once; a new table whenever they are used up.
class ProofRun {
 public:
  explicit ProofRun(Parties& parties) : parties_(parties) {
    const Time now = to_time(parties.clock.wall_now());
    for (int i = 0; i < kProofs; ++i)
      proofs_.push_back(must(make_travelling_proof(parties.credential, kHead, kHead, now)));
  }
  double round_us() {
    const Time now = to_time(parties_.clock.wall_now());
    const auto cache = must(
        ReplayCache::open({.path = folder_.file(("proofs" + std::to_string(++rounds_)).c_str())},
                          now - 2 * kMaxSkew));
    ProofVerifier verifier(parties_.verifier.opener(), *cache, parties_.clock);
    const double start = cpu_seconds();
    for (const Bytes& proof : proofs_)
      must(verifier.accept(proof, kHead));
    return (cpu_seconds() - start) * 1e6 / kProofs;
  }

 private:
  static constexpr int kProofs = 20'000;
  static constexpr crypto::Digest kHead{std::byte{1}};
  Parties& parties_;
  Folder folder_;
  std::vector<Bytes> proofs_;
  int rounds_ = 0;
};

}  // namespace

TicketVerifyCost measure_ticket_verify() {
  Parties parties;
  const Channel channel{std::byte{0xC4}};
  const auto exchange = must(ApExchange::begin(parties.credential, channel));
  const Bytes& request = exchange.request();
  ProofRun proofs(parties);

  const crypto::Secret key = must(crypto::new_aead_key());
  const std::size_t body_size =
      must(decode_ticket(parties.credential.ticket)).sealed.size() - crypto::kAeadOverhead;
  const Bytes sealed = must(crypto::seal(key, Bytes(body_size), {}));
  Bytes plain(body_size);

  std::vector<double> accept_us;
  std::vector<double> proof_us;
  std::vector<double> open_us;
  std::vector<double> hmac_us;
  for (int i = 0; i < kRounds; ++i) {
    accept_us.push_back(round_us([&] { must(parties.verifier.accept(request, channel)); }));
    proof_us.push_back(proofs.round_us());
    open_us.push_back(round_us([&] { must(crypto::open_into(key, sealed, {}, plain)); }));
    hmac_us.push_back(round_us([&] { must(crypto::hmac_sha256(key.bytes(), request)); }));
  }
  const TicketVerifyCost cost{median(accept_us), median(proof_us), median(open_us),
                              median(hmac_us)};
  std::fprintf(stderr,
               "AP request %.2f us, travelling proof %.2f us; bare open %.2f us, HMAC %.2f us\n",
               cost.ap_verify_us, cost.proof_verify_us, cost.bare_open_us, cost.bare_hmac_us);
  return cost;
}

}  // namespace bench
