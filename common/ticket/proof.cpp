#include "common/ticket/proof.hpp"

#include <algorithm>

#include "common/ticket/keys.hpp"
#include "common/ticket/refuse.hpp"

namespace common::ticket {
namespace {

Status check_age(Time made, Time now) {
  if (made > now + kMaxSkew) {
    return fail(ErrorCode::Unauthenticated,
                "a clock is wrong: by this server's, the request was made {} s from now",
                std::chrono::duration_cast<std::chrono::seconds>(made - now).count());
  }
  if (made + kMaxSkew < now)
    return fail(ErrorCode::Expired, "the request took too long to arrive; make it again");
  return {};
}

}  // namespace

Result<Proven> ProofVerifier::accept(ByteView bytes, const crypto::Digest& head) {
  const auto proof = decode_travelling_proof(bytes);
  if (!proof)
    return refused();
  const Time now = to_time(clock_.wall_now());
  TROTH_TRY(TicketBody body, opener_.open(proof->ticket, now));
  TROTH_TRY(const crypto::Secret key,
            derive(body.session_key, Purpose::Proof, opener_.cell(), opener_.service()));
  TROTH_TRY_VOID(check_mac(key, {before_proof(bytes), head}, proof->mac));
  TROTH_TRY_VOID(check_times(body.validity, now));
  TROTH_TRY_VOID(check_age(proof->made, now));
  // Last: only what is good in every other respect takes a place in the table.
  ReplayTag tag;
  std::copy_n(proof->mac.begin(), tag.size(), tag.begin());
  TROTH_TRY_VOID(cache_.remember(tag, proof->made, now));
  return Proven{identity_of(std::move(body)), proof->made, proof->content};
}

}  // namespace common::ticket
