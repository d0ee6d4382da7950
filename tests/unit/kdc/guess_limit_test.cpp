#include "kdc/guess_limit.hpp"

#include <random>

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;
using kdc::fresh_guesses;
using kdc::GuessRules;
using kdc::GuessState;
using kdc::kNameRules;
using kdc::kSourceRules;
using kdc::note_failure;
using kdc::return_attempt;
using kdc::take_attempt;

namespace {

const Time kStart{Millis(1'700'000'000'000)};

// How long somebody waits who tries again at the first permitted moment and always fails.
Millis next_wait(GuessState& state, const GuessRules& rules, Time& now) {
  Millis waited{0};
  for (;;) {
    const auto verdict = take_attempt(state, rules, now);
    if (verdict.allowed) {
      note_failure(state, rules, now);
      return waited;
    }
    REQUIRE(verdict.wait > Millis(0));
    REQUIRE(verdict.wait <= rules.longest_wait);
    now += verdict.wait;
    waited += verdict.wait;
  }
}

}  // namespace

TEST_CASE("ten attempts at once, then waits that double to a minute and stay there") {
  GuessState state = fresh_guesses(kNameRules, kStart);
  Time now = kStart;
  for (int i = 0; i < 10; ++i)
    CHECK(next_wait(state, kNameRules, now) == Millis(0));
  for (const int seconds : {12, 24, 48, 60, 60, 60, 60, 60})
    CHECK(next_wait(state, kNameRules, now) == std::chrono::seconds(seconds));
}

TEST_CASE("a quiet time fills the bucket and ends the doubling") {
  GuessState state = fresh_guesses(kNameRules, kStart);
  Time now = kStart;
  for (int i = 0; i < 14; ++i)
    next_wait(state, kNameRules, now);
  // The wait of a minute, and nine attempts' refill.
  CHECK_FALSE(kdc::is_forgettable(state, kNameRules, now + 167s));
  CHECK(kdc::is_forgettable(state, kNameRules, now + 168s));
  now += 168s;
  for (int i = 0; i < 10; ++i)
    CHECK(next_wait(state, kNameRules, now) == Millis(0));
  CHECK(next_wait(state, kNameRules, now) == 12s);
}

TEST_CASE("waiting longer than told does not end the doubling before the bucket is full") {
  GuessState state = fresh_guesses(kNameRules, kStart);
  Time now = kStart;
  for (int i = 0; i < 11; ++i)
    next_wait(state, kNameRules, now);  // the last one waited 12 s, and must wait 24 now
  now += 24s + 60s;
  CHECK(next_wait(state, kNameRules, now) == Millis(0));
  CHECK(next_wait(state, kNameRules, now) == 48s);
}

TEST_CASE("a clock that is set back makes nobody wait who has not failed") {
  GuessState state = fresh_guesses(kNameRules, kStart);
  CHECK(take_attempt(state, kNameRules, kStart - 1h).allowed);
  note_failure(state, kNameRules, kStart - 1h);
  CHECK(take_attempt(state, kNameRules, kStart - 2h).allowed);
  Time now = kStart;
  for (int i = 0; i < 14; ++i)
    next_wait(state, kNameRules, now);
  CHECK(take_attempt(state, kNameRules, kStart - 24h).wait == 60s);
}

TEST_CASE("many at once take no more than the bucket holds, before any has failed") {
  GuessState state = fresh_guesses(kSourceRules, kStart);
  int allowed = 0;
  for (int i = 0; i < 1000; ++i)
    allowed += take_attempt(state, kSourceRules, kStart).allowed ? 1 : 0;
  CHECK(allowed == 60);
}

TEST_CASE("a returned attempt costs nothing, and never makes more than a full bucket") {
  GuessState state = fresh_guesses(kNameRules, kStart);
  for (int i = 0; i < 100; ++i) {
    CHECK(take_attempt(state, kNameRules, kStart).allowed);
    return_attempt(state, kNameRules, kStart);
  }
  return_attempt(state, kNameRules, kStart);
  CHECK(state == fresh_guesses(kNameRules, kStart));
}

TEST_CASE("over any time no more than the bucket and its refill are allowed (every pattern)") {
  // Whatever the pattern of waiting, failing and succeeding to wait: attempts allowed in a window
  // never exceed 10 plus one for each 12 s.
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    GuessState state = fresh_guesses(kNameRules, kStart);
    Time now = kStart;
    std::int64_t allowed = 0;
    for (int step = 0; step < 400; ++step) {
      now += Millis(random() % (random() % 4 == 0 ? 60'000 : 2'000));
      const auto verdict = take_attempt(state, kNameRules, now);
      REQUIRE(verdict.wait <= kNameRules.longest_wait);
      REQUIRE(verdict.allowed == (verdict.wait == Millis(0)));
      REQUIRE(state.credit >= Millis(0));
      REQUIRE(state.credit <= 10 * kNameRules.refill);
      if (verdict.allowed) {
        ++allowed;
        note_failure(state, kNameRules, now);
      }
      REQUIRE(allowed <= 10 + (now - kStart) / kNameRules.refill);
    }
  }
}

TEST_CASE("every state meets every step of time, clocks set back and far ahead among them") {
  const std::array<Millis, 9> steps{Millis(-400LL * 86'400'000),
                                    Millis(-3'600'000),
                                    Millis(-1),
                                    Millis(0),
                                    Millis(1),
                                    Millis(11'999),
                                    Millis(12'000),
                                    Millis(60'000),
                                    Millis(40'000LL * 86'400'000)};
  for (int credit = 0; credit <= 10; ++credit) {
    for (std::uint32_t streak = 0; streak <= 16; ++streak) {
      for (const Millis ahead : {Millis(0), Millis(12'000), Millis(60'000)}) {
        for (const Millis step : steps) {
          GuessState state{.credit = kNameRules.refill * credit,
                           .updated = kStart,
                           .streak = streak,
                           .wait_until = kStart + ahead};
          const Time now = kStart + step;
          const auto verdict = take_attempt(state, kNameRules, now);
          REQUIRE(verdict.wait <= kNameRules.longest_wait);
          REQUIRE(state.updated <= now + kNameRules.longest_wait);
          // Going back earns nothing.
          if (step <= Millis(0))
            REQUIRE(state.credit <= kNameRules.refill * credit);
          // Asking again when told is never in vain twice.
          if (!verdict.allowed) {
            const auto second = take_attempt(state, kNameRules, now + verdict.wait);
            REQUIRE((second.allowed || second.wait < kNameRules.longest_wait));
          }
          note_failure(state, kNameRules, now);
          REQUIRE(state.wait_until <= now + kNameRules.longest_wait);
        }
      }
    }
  }
}
