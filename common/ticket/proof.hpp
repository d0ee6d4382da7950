#pragma once

// The receiver's side of proofs that travel (relayed, queued and replicated requests).

#include "common/bytes.hpp"
#include "common/clock.hpp"
#include "common/crypto/hash.hpp"
#include "common/result.hpp"
#include "common/ticket/replay_cache.hpp"
#include "common/ticket/verifier.hpp"

namespace common::ticket {

struct Proven {
  Identity identity;
  Time made{};
  crypto::Digest content{};  // what the sender said that the content hashes to
};

// Accepts each proof once. Safe from any thread. What is given outlives it.
class ProofVerifier {
 public:
  ProofVerifier(const TicketOpener& opener, ReplayCache& cache, const Clock& clock)
      : opener_(opener), cache_(cache), clock_(clock) {}

  // `head` is SHA-256 of the head that the proof came with. The caller must compare `content` with
  // the hash of what it received before it acts. Failures: refused() for whatever is wrong with the
  // ticket or MAC and for a proof that was, or may have been, accepted before; Expired or a
  // sentence about clocks for one that is too old or too far ahead; Overloaded when the table is
  // full. May block on the disk for a moment about once a minute (see replay_cache.hpp).
  [[nodiscard]] Result<Proven> accept(ByteView proof, const crypto::Digest& head);

 private:
  const TicketOpener& opener_;
  ReplayCache& cache_;
  const Clock& clock_;
};

}  // namespace common::ticket
