#pragma once

// What it costs a service to know who is calling. Shared by bench_ticket and bench_kdc.

namespace bench {

// Microseconds of this thread's CPU time, medians of several rounds.
struct TicketVerifyCost {
  double ap_verify_us = 0;     // Verifier::accept of a ticket with 16 groups
  double proof_verify_us = 0;  // ProofVerifier::accept, the replay cache included
  // What cannot be saved of either: one AES-256-GCM open of the ticket, one HMAC of the request.
  double bare_open_us = 0;
  double bare_hmac_us = 0;
};

// Takes a few seconds. Exits the process, with a sentence, if something measured fails.
TicketVerifyCost measure_ticket_verify();

}  // namespace bench
