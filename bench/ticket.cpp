// bench_ticket: what it costs a service to verify an AP request and a travelling proof, beside what
// of that is bare cryptography.

#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

#include "ticket_verify.hpp"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") != 0) {
      std::fprintf(stderr, "usage: bench_ticket [--json]\n");
      return 2;
    }
  }
  const bench::TicketVerifyCost cost = bench::measure_ticket_verify();
  const nlohmann::json line{{"ap_verify_us", cost.ap_verify_us},
                            {"proof_verify_us", cost.proof_verify_us},
                            {"bare_open_us", cost.bare_open_us},
                            {"bare_hmac_us", cost.bare_hmac_us}};
  std::printf("%s\n", line.dump().c_str());
  return 0;
}
