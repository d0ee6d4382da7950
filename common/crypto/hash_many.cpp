#include "common/crypto/hash_many.hpp"

#include <algorithm>
#include <array>
#include <optional>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace common::crypto {
namespace {

// A context of one's own for each thread: making one costs as much as hashing a small message.
Result<Digest> hash_alone(const Message& message) {
  thread_local std::optional<Sha256> context;
  if (!context) {
    TROTH_TRY(auto made, Sha256::create());
    context.emplace(std::move(made));
  }
  TROTH_TRY_VOID(context->update(message.head));
  TROTH_TRY_VOID(context->update(message.body));
  return context->finish();
}

#if defined(__x86_64__)

// OpenSSL hashes one message at a time, so the compression function (FIPS 180-4, 6.2.2) is here
// once more, in the CPU's own instructions. It is used only after it has agreed with OpenSSL's in
// this process.
#define TROTH_SHA [[gnu::target("sha,sse4.1,ssse3")]]
#define TROTH_SHA_INSIDE [[gnu::target("sha,sse4.1,ssse3"), gnu::always_inline]] inline

constexpr std::size_t kBlock = 64;
// Below this there is nothing to be gained.
constexpr std::size_t kLeastBody = 1024;

using Words = std::array<std::uint32_t, 8>;  // a to h

constexpr Words kInitial{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(16) constexpr std::array<std::uint32_t, 64> kRoundConstants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// One message in the CPU's registers.
struct Lane {
  __m128i abef;
  __m128i cdgh;
  __m128i w0, w1, w2, w3;  // the last 16 words of its schedule
};

TROTH_SHA_INSIDE __m128i four_words(const std::byte* at) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), big_endian);
}

TROTH_SHA_INSIDE __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
  using FourInts = int __attribute__((vector_size(16)));
  // The last three of w2 and the first of w3.
  const auto across = __builtin_shufflevector(reinterpret_cast<FourInts>(w2),
                                              reinterpret_cast<FourInts>(w3), 1, 2, 3, 4);
  const __m128i sum =
      _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), reinterpret_cast<__m128i>(across));
  return _mm_sha256msg2_epu32(sum, w3);
}

// Rounds 4 * kGroup to 4 * kGroup + 3, and the words that the group after the next three needs.
template <std::size_t kGroup>
TROTH_SHA_INSIDE void four_rounds(Lane& lane) {
  const auto* const constants = reinterpret_cast<const __m128i*>(&kRoundConstants[4 * kGroup]);
  const __m128i sum = _mm_add_epi32(lane.w0, _mm_load_si128(constants));
  lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, sum);
  lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(sum, 0x0e));
  __m128i next = lane.w0;
  if constexpr (kGroup < 12)
    next = next_words(lane.w0, lane.w1, lane.w2, lane.w3);
  lane.w0 = lane.w1;
  lane.w1 = lane.w2;
  lane.w2 = lane.w3;
  lane.w3 = next;
}

template <std::size_t kGroup = 0>
TROTH_SHA_INSIDE void all_rounds(Lane& lane) {
  four_rounds<kGroup>(lane);
  if constexpr (kGroup < 15)
    all_rounds<kGroup + 1>(lane);
}

// By turns, so that the CPU finds both within its reach.
template <std::size_t kGroup = 0>
TROTH_SHA_INSIDE void all_rounds(Lane& one, Lane& other) {
  four_rounds<kGroup>(one);
  four_rounds<kGroup>(other);
  if constexpr (kGroup < 15)
    all_rounds<kGroup + 1>(one, other);
}

TROTH_SHA_INSIDE Lane take_up(const Words& words) {
  const auto four = [](std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    return std::array<std::uint32_t, 4>{a, b, c, d};
  };
  const auto abef = four(words[5], words[4], words[1], words[0]);
  const auto cdgh = four(words[7], words[6], words[3], words[2]);
  Lane lane;
  lane.abef = _mm_loadu_si128(reinterpret_cast<const __m128i*>(abef.data()));
  lane.cdgh = _mm_loadu_si128(reinterpret_cast<const __m128i*>(cdgh.data()));
  return lane;
}

TROTH_SHA_INSIDE void put_down(const Lane& lane, Words& words) {
  std::array<std::uint32_t, 4> abef;
  std::array<std::uint32_t, 4> cdgh;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(abef.data()), lane.abef);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(cdgh.data()), lane.cdgh);
  words = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
}

TROTH_SHA_INSIDE void take_words(Lane& lane, const std::byte* at) {
  lane.w0 = four_words(at);
  lane.w1 = four_words(at + 16);
  lane.w2 = four_words(at + 32);
  lane.w3 = four_words(at + 48);
}

TROTH_SHA void compress(Words& words, const std::byte* at, std::size_t blocks) {
  Lane lane = take_up(words);
  for (; blocks > 0; --blocks, at += kBlock) {
    const __m128i abef = lane.abef;
    const __m128i cdgh = lane.cdgh;
    take_words(lane, at);
    all_rounds(lane);
    lane.abef = _mm_add_epi32(lane.abef, abef);
    lane.cdgh = _mm_add_epi32(lane.cdgh, cdgh);
  }
  put_down(lane, words);
}

TROTH_SHA void compress_two(Words& words, const std::byte* at, Words& other_words,
                            const std::byte* other_at, std::size_t blocks) {
  Lane one = take_up(words);
  Lane other = take_up(other_words);
  for (; blocks > 0; --blocks, at += kBlock, other_at += kBlock) {
    const Lane before = one;
    const Lane other_before = other;
    take_words(one, at);
    take_words(other, other_at);
    all_rounds(one, other);
    one.abef = _mm_add_epi32(one.abef, before.abef);
    one.cdgh = _mm_add_epi32(one.cdgh, before.cdgh);
    other.abef = _mm_add_epi32(other.abef, other_before.abef);
    other.cdgh = _mm_add_epi32(other.cdgh, other_before.cdgh);
  }
  put_down(one, words);
  put_down(other, other_words);
}

// One message cut into the block that the head is in, the whole blocks after it, and the rest with
// its padding.
class Cut {
 public:
  // The head is shorter than a block, and body and head together fill one.
  explicit Cut(const Message& message) {
    const std::size_t with_head = kBlock - message.head.size();
    const auto after_head = std::ranges::copy(message.head, first_.begin()).out;
    std::ranges::copy(message.body.first(with_head), after_head);
    const ByteView after = message.body.subspan(with_head);
    whole_ = after.data();
    whole_blocks_ = after.size() / kBlock;
    const ByteView rest = after.subspan(whole_blocks_ * kBlock);
    *std::ranges::copy(rest, rest_.begin()).out = std::byte{0x80};
    rest_blocks_ = rest.size() + 9 > kBlock ? 2 : 1;
    std::uint64_t bits = 8 * (std::uint64_t{message.head.size()} + message.body.size());
    for (std::size_t at = rest_blocks_ * kBlock; bits != 0; bits >>= 8)
      rest_[--at] = static_cast<std::byte>(bits);
  }

  static void hash_two(const Cut& one, const Cut& other, Digest& digest, Digest& other_digest) {
    Words words = kInitial;
    Words other_words = kInitial;
    compress_two(words, one.first_.data(), other_words, other.first_.data(), 1);
    const std::size_t both = std::min(one.whole_blocks_, other.whole_blocks_);
    compress_two(words, one.whole_, other_words, other.whole_, both);
    one.finish(words, both, digest);
    other.finish(other_words, both, other_digest);
  }

 private:
  void finish(Words& words, std::size_t done, Digest& digest) const {
    compress(words, whole_ + done * kBlock, whole_blocks_ - done);
    compress(words, rest_.data(), rest_blocks_);
    for (std::size_t i = 0; i < digest.size(); ++i)
      digest[i] = static_cast<std::byte>(words[i / 4] >> (24 - 8 * (i % 4)));
  }

  std::array<std::byte, kBlock> first_{};
  const std::byte* whole_ = nullptr;
  std::size_t whole_blocks_ = 0;
  std::array<std::byte, 2 * kBlock> rest_{};
  std::size_t rest_blocks_ = 0;
};

bool fits(const Message& message) {
  return message.head.size() < kBlock && message.body.size() >= kLeastBody;
}

bool cpu_has_sha() {
  constexpr unsigned kFeatures = 7;
  constexpr unsigned kSha = 1U << 29;  // of ebx
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(kFeatures, 0, &eax, &ebx, &ecx, &edx) == 1 && (ebx & kSha) != 0 &&
         __builtin_cpu_supports("sse4.1") != 0 && __builtin_cpu_supports("ssse3") != 0;
}

bool agrees_with_openssl() {
  std::array<std::byte, 3 * kLeastBody> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * i >> 3);
  const ByteView all(bytes);
  // Different heads, lengths and paddings.
  const Message one{all.first(18), all.subspan(1, 2 * kLeastBody)};
  const Message other{all.first(45), all.subspan(2, 2 * kLeastBody + 75)};
  Digest digest;
  Digest other_digest;
  Cut::hash_two(Cut(one), Cut(other), digest, other_digest);
  const auto expected = hash_alone(one);
  const auto other_expected = hash_alone(other);
  return expected && other_expected && digest == *expected && other_digest == *other_expected;
}

bool two_at_a_time() {
  static const bool good = cpu_has_sha() && agrees_with_openssl();
  return good;
}

bool hash_two(const Message& one, const Message& other, Digest& digest, Digest& other_digest) {
  if (!two_at_a_time() || !fits(one) || !fits(other))
    return false;
  Cut::hash_two(Cut(one), Cut(other), digest, other_digest);
  return true;
}

#else

bool hash_two(const Message&, const Message&, Digest&, Digest&) {
  return false;
}

#endif

}  // namespace

Status sha256_many(std::span<const Message> messages, std::span<Digest> digests) {
  if (messages.size() != digests.size())
    return fail(ErrorCode::Internal, "{} digests of {} messages", digests.size(), messages.size());
  std::size_t i = 0;
  while (i < messages.size()) {
    if (i + 1 < messages.size() &&
        hash_two(messages[i], messages[i + 1], digests[i], digests[i + 1])) {
      i += 2;
      continue;
    }
    TROTH_TRY(digests[i], hash_alone(messages[i]));
    ++i;
  }
  return {};
}

}  // namespace common::crypto
