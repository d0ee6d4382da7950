#include "kdc/guess_limit.hpp"

#include <algorithm>

namespace kdc {
namespace {

Millis full(const GuessRules& rules) {
  return rules.refill * rules.attempts;
}

void refill(GuessState& state, const GuessRules& rules, Time now) {
  if (now > state.updated) {
    // A clock that leapt ahead by ages must not overflow the sum.
    const Millis passed = std::min(now - state.updated, full(rules));
    state.credit = std::min(full(rules), state.credit + passed);
    state.updated = now;
  }
  // A clock that was set back: nobody waits who has not failed, and nobody longer than the longest.
  const Time latest = state.streak == 0 ? now : now + rules.longest_wait;
  state.updated = std::min(state.updated, latest);
  state.wait_until = std::min(state.wait_until, latest);
  if (state.credit == full(rules) && state.wait_until <= now)
    state.streak = 0;
}

}  // namespace

GuessState fresh_guesses(const GuessRules& rules, Time now) {
  return {.credit = full(rules), .updated = now, .streak = 0, .wait_until = now};
}

bool is_forgettable(const GuessState& state, const GuessRules& rules, Time now) {
  GuessState later = state;
  refill(later, rules, now);
  return later.credit == full(rules) && later.wait_until <= now;
}

tl::unexpected<common::Error> too_many(std::string_view what, Millis wait) {
  auto refusal = common::fail(common::ErrorCode::Overloaded, "{}; wait {} s", what,
                              std::chrono::ceil<std::chrono::seconds>(wait).count());
  refusal.value().retry_after = wait;
  return refusal;
}

GuessVerdict take_attempt(GuessState& state, const GuessRules& rules, Time now) {
  refill(state, rules, now);
  const Millis for_credit = std::max(Millis(0), rules.refill - state.credit);
  const Millis for_streak = std::max(Millis(0), state.wait_until - now);
  const Millis wait = std::max(for_credit, for_streak);
  if (wait > Millis(0))
    return {.allowed = false, .wait = std::min(wait, rules.longest_wait)};
  state.credit -= rules.refill;
  return {.allowed = true};
}

void note_failure(GuessState& state, const GuessRules& rules, Time now) {
  refill(state, rules, now);
  if (state.credit >= rules.refill && state.streak == 0)
    return;
  // Saturates far above the longest wait, far below overflow.
  state.streak = std::min(state.streak + 1, 16U);
  const Millis wait =
      std::min<Millis>(rules.longest_wait, rules.refill * (1LL << (state.streak - 1)));
  state.wait_until = std::max(state.wait_until, now + wait);
  // Waiting earns the one attempt that was waited for; the bucket fills from there on.
  state.credit = rules.refill;
  state.updated = state.wait_until;
}

void return_attempt(GuessState& state, const GuessRules& rules, Time now) {
  refill(state, rules, now);
  state.credit = std::min(full(rules), state.credit + rules.refill);
}

}  // namespace kdc
