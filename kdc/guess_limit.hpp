#pragma once

// How often a password may be guessed: a bucket of attempts that refills, and behind it a wait that
// doubles with each failure. Pure: a function of state, rules and time.

#include "kdc/types.hpp"

namespace kdc {

struct GuessRules {
  std::uint32_t attempts = 0;  // when nothing has happened for a while
  Millis refill{};             // time that earns one attempt
  Millis longest_wait{};
};
// A name: 10 attempts, refilled at 5 a minute. A source may be a whole office.
inline constexpr GuessRules kNameRules{10, Millis(12'000), Millis(60'000)};
inline constexpr GuessRules kSourceRules{60, Millis(2'000), Millis(60'000)};

struct GuessState {
  Millis credit{};           // refill units that are left, each an attempt
  Time updated{};            // when credit was right; ahead of now during a wait
  std::uint32_t streak = 0;  // failures since the bucket ran dry
  Time wait_until{};
  friend bool operator==(const GuessState&, const GuessState&) = default;
};

// Nothing counted yet.
GuessState fresh_guesses(const GuessRules& rules, Time now);
// Whether the state says no more than a fresh one, so that it need not be kept.
bool is_forgettable(const GuessState& state, const GuessRules& rules, Time now);

struct GuessVerdict {
  bool allowed = false;
  Millis wait{};  // if not: when asking again is worthwhile, never above longest_wait
  friend bool operator==(const GuessVerdict&, const GuessVerdict&) = default;
};

// Overloaded: "WHAT; wait N s", with the wait for programs, too.
[[nodiscard]] tl::unexpected<common::Error> too_many(std::string_view what, Millis wait);

// Takes an attempt out of the bucket before it is made, so that many at once count as many.
// A refused attempt changes nothing but the time. A wall clock that is set back earns nothing and
// locks nobody out for longer than the longest wait.
GuessVerdict take_attempt(GuessState& state, const GuessRules& rules, Time now);
// The attempt failed: once the bucket is dry, each failure doubles the wait, until the bucket has
// filled again after it.
void note_failure(GuessState& state, const GuessRules& rules, Time now);
// Gives one attempt back: it was right, or was never made.
void return_attempt(GuessState& state, const GuessRules& rules, Time now);

}  // namespace kdc
