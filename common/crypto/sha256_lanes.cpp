#include "common/crypto/sha256_lanes.hpp"

#include "common/crypto/sha256_constants.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace common::crypto {

#if defined(__x86_64__)

namespace {

// GCC's address sanitizer keeps locals in frames of its own, where an alignment of 64 bytes does
// not hold: not those of these functions, which look only at what they are given.
#define TROTH_LANES [[gnu::target("avx512f,avx512bw"), gnu::no_sanitize_address]]
#define TROTH_LANES_INSIDE \
  [[gnu::target("avx512f,avx512bw"), gnu::always_inline, gnu::no_sanitize_address]] inline

// One word of each of the sixteen messages.
using Wide = __m512i;

struct WideState {
  Wide a, b, c, d, e, f, g, h;
};
// The last sixteen words of their schedules.
struct WideSchedule {
  Wide w[16];
};

TROTH_LANES_INSIDE Wide plus(Wide one, Wide other) {
  return _mm512_add_epi32(one, other);
}

// In plain operations, which the compiler makes the CPU's own of.
using WideWords = std::uint32_t __attribute__((vector_size(64)));

template <unsigned kBits>
TROTH_LANES_INSIDE WideWords rotated(WideWords x) {
  return x >> kBits | x << (32 - kBits);
}

template <unsigned kFirst, unsigned kSecond, unsigned kThird>
TROTH_LANES_INSIDE Wide big_sigma(Wide of) {
  const auto x = reinterpret_cast<WideWords>(of);
  return reinterpret_cast<Wide>(rotated<kFirst>(x) ^ rotated<kSecond>(x) ^ rotated<kThird>(x));
}

template <unsigned kFirst, unsigned kSecond, unsigned kShift>
TROTH_LANES_INSIDE Wide small_sigma(Wide of) {
  const auto x = reinterpret_cast<WideWords>(of);
  return reinterpret_cast<Wide>(rotated<kFirst>(x) ^ rotated<kSecond>(x) ^ x >> kShift);
}

TROTH_LANES_INSIDE Wide choose(Wide which, Wide one, Wide other) {
  return (which & one) | (~which & other);
}

TROTH_LANES_INSIDE Wide majority(Wide a, Wide b, Wide c) {
  return (a & b) | (c & (a | b));
}

// One round; the caller turns the names of the state by one from round to round.
TROTH_LANES_INSIDE void one_round(Wide a, Wide b, Wide c, Wide& d, Wide e, Wide f, Wide g, Wide& h,
                                  Wide word, std::uint32_t constant) {
  // What is known longest is added first: e is what the round waits for.
  const Wide known = plus(plus(h, word), _mm512_set1_epi32(static_cast<int>(constant)));
  const Wide sum = plus(plus(known, choose(e, f, g)), big_sigma<6, 11, 25>(e));
  d = plus(d, sum);
  h = plus(sum, plus(majority(a, b, c), big_sigma<2, 13, 22>(a)));
}

template <std::size_t kAt>
TROTH_LANES_INSIDE void next_word(WideSchedule& schedule) {
  Wide& word = schedule.w[kAt];
  word = plus(plus(word, schedule.w[(kAt + 9) % 16]),
              plus(small_sigma<7, 18, 3>(schedule.w[(kAt + 1) % 16]),
                   small_sigma<17, 19, 10>(schedule.w[(kAt + 14) % 16])));
}

template <std::size_t kAt, bool kFirstSixteen>
TROTH_LANES_INSIDE void eight_rounds(WideState& s, WideSchedule& schedule,
                                     const std::uint32_t* constants) {
  if constexpr (!kFirstSixteen) {
    next_word<kAt>(schedule);
    next_word<kAt + 1>(schedule);
  }
  one_round(s.a, s.b, s.c, s.d, s.e, s.f, s.g, s.h, schedule.w[kAt], constants[kAt]);
  one_round(s.h, s.a, s.b, s.c, s.d, s.e, s.f, s.g, schedule.w[kAt + 1], constants[kAt + 1]);
  if constexpr (!kFirstSixteen) {
    next_word<kAt + 2>(schedule);
    next_word<kAt + 3>(schedule);
  }
  one_round(s.g, s.h, s.a, s.b, s.c, s.d, s.e, s.f, schedule.w[kAt + 2], constants[kAt + 2]);
  one_round(s.f, s.g, s.h, s.a, s.b, s.c, s.d, s.e, schedule.w[kAt + 3], constants[kAt + 3]);
  if constexpr (!kFirstSixteen) {
    next_word<kAt + 4>(schedule);
    next_word<kAt + 5>(schedule);
  }
  one_round(s.e, s.f, s.g, s.h, s.a, s.b, s.c, s.d, schedule.w[kAt + 4], constants[kAt + 4]);
  one_round(s.d, s.e, s.f, s.g, s.h, s.a, s.b, s.c, schedule.w[kAt + 5], constants[kAt + 5]);
  if constexpr (!kFirstSixteen) {
    next_word<kAt + 6>(schedule);
    next_word<kAt + 7>(schedule);
  }
  one_round(s.c, s.d, s.e, s.f, s.g, s.h, s.a, s.b, schedule.w[kAt + 6], constants[kAt + 6]);
  one_round(s.b, s.c, s.d, s.e, s.f, s.g, s.h, s.a, schedule.w[kAt + 7], constants[kAt + 7]);
}

// Four messages' blocks: column k of the result has, in its quarter q, their word 4 * q + k.
struct FourRows {
  Wide column[4];
};

TROTH_LANES_INSIDE FourRows four_rows(const LaneInput* inputs) {
  const Wide big_endian = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
  const Wide first = _mm512_shuffle_epi8(_mm512_loadu_si512(inputs[0].at), big_endian);
  const Wide second = _mm512_shuffle_epi8(_mm512_loadu_si512(inputs[1].at), big_endian);
  const Wide third = _mm512_shuffle_epi8(_mm512_loadu_si512(inputs[2].at), big_endian);
  const Wide fourth = _mm512_shuffle_epi8(_mm512_loadu_si512(inputs[3].at), big_endian);
  const Wide low_one = _mm512_unpacklo_epi32(first, second);
  const Wide high_one = _mm512_unpackhi_epi32(first, second);
  const Wide low_other = _mm512_unpacklo_epi32(third, fourth);
  const Wide high_other = _mm512_unpackhi_epi32(third, fourth);
  return {{_mm512_unpacklo_epi64(low_one, low_other), _mm512_unpackhi_epi64(low_one, low_other),
           _mm512_unpacklo_epi64(high_one, high_other),
           _mm512_unpackhi_epi64(high_one, high_other)}};
}

// The next block of each message, as its words side by side.
TROTH_LANES_INSIDE WideSchedule take_blocks(std::array<LaneInput, kLanes>& inputs) {
  const FourRows rows[4] = {four_rows(&inputs[0]), four_rows(&inputs[4]), four_rows(&inputs[8]),
                            four_rows(&inputs[12])};
  WideSchedule schedule;
  for (std::size_t k = 0; k < 4; ++k) {
    const Wide front_one = _mm512_shuffle_i32x4(rows[0].column[k], rows[1].column[k], 0x44);
    const Wide front_other = _mm512_shuffle_i32x4(rows[2].column[k], rows[3].column[k], 0x44);
    const Wide back_one = _mm512_shuffle_i32x4(rows[0].column[k], rows[1].column[k], 0xee);
    const Wide back_other = _mm512_shuffle_i32x4(rows[2].column[k], rows[3].column[k], 0xee);
    schedule.w[k] = _mm512_shuffle_i32x4(front_one, front_other, 0x88);
    schedule.w[4 + k] = _mm512_shuffle_i32x4(front_one, front_other, 0xdd);
    schedule.w[8 + k] = _mm512_shuffle_i32x4(back_one, back_other, 0x88);
    schedule.w[12 + k] = _mm512_shuffle_i32x4(back_one, back_other, 0xdd);
  }
  for (LaneInput& input : inputs)
    input.at += input.step;
  return schedule;
}

TROTH_LANES_INSIDE WideState take_up_lanes(const std::array<Sha256Words, kLanes>& words) {
  alignas(64) std::uint32_t lanes[8][kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (std::size_t i = 0; i < 8; ++i)
      lanes[i][lane] = words[lane][i];
  }
  return {_mm512_load_si512(lanes[0]), _mm512_load_si512(lanes[1]), _mm512_load_si512(lanes[2]),
          _mm512_load_si512(lanes[3]), _mm512_load_si512(lanes[4]), _mm512_load_si512(lanes[5]),
          _mm512_load_si512(lanes[6]), _mm512_load_si512(lanes[7])};
}

TROTH_LANES_INSIDE void put_down_lanes(const WideState& s, std::array<Sha256Words, kLanes>& words) {
  alignas(64) std::uint32_t lanes[8][kLanes];
  _mm512_store_si512(lanes[0], s.a);
  _mm512_store_si512(lanes[1], s.b);
  _mm512_store_si512(lanes[2], s.c);
  _mm512_store_si512(lanes[3], s.d);
  _mm512_store_si512(lanes[4], s.e);
  _mm512_store_si512(lanes[5], s.f);
  _mm512_store_si512(lanes[6], s.g);
  _mm512_store_si512(lanes[7], s.h);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (std::size_t i = 0; i < 8; ++i)
      words[lane][i] = lanes[i][lane];
  }
}

}  // namespace

bool cpu_has_lanes() {
  // Asks the system, too, whether it keeps the wide registers.
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
}

TROTH_LANES void compress_lanes(std::array<Sha256Words, kLanes>& words,
                                std::array<LaneInput, kLanes>& inputs, std::size_t blocks) {
  WideState s = take_up_lanes(words);
  for (; blocks > 0; --blocks) {
    const WideState before = s;
    WideSchedule schedule = take_blocks(inputs);
    eight_rounds<0, true>(s, schedule, kSha256RoundConstants.data());
    eight_rounds<8, true>(s, schedule, kSha256RoundConstants.data());
    for (std::size_t round = 16; round < 64; round += 16) {
      eight_rounds<0, false>(s, schedule, kSha256RoundConstants.data() + round);
      eight_rounds<8, false>(s, schedule, kSha256RoundConstants.data() + round);
    }
    s = {plus(s.a, before.a), plus(s.b, before.b), plus(s.c, before.c), plus(s.d, before.d),
         plus(s.e, before.e), plus(s.f, before.f), plus(s.g, before.g), plus(s.h, before.h)};
  }
  put_down_lanes(s, words);
}

#else

bool cpu_has_lanes() {
  return false;
}

void compress_lanes(std::array<Sha256Words, kLanes>&, std::array<LaneInput, kLanes>&, std::size_t) {
}

#endif

}  // namespace common::crypto
