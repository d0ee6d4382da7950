#include "common/crypto/hash_many.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "common/crypto/sha256_constants.hpp"
#include "common/crypto/sha256_lanes.hpp"

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
// Fewer messages side by side are as fast two at a time.
constexpr std::size_t kLeastLanes = 11;

using Words = Sha256Words;

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
  const auto* const constants =
      reinterpret_cast<const __m128i*>(&kSha256RoundConstants[4 * kGroup]);
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

  // What is between the first block and the last ones.
  [[nodiscard]] std::size_t whole_blocks() const { return whole_blocks_; }
  [[nodiscard]] const std::byte* first_block() const { return first_.data(); }
  [[nodiscard]] const std::byte* whole_block(std::size_t index) const {
    return whole_ + index * kBlock;
  }

  // After the first block and `done` of those behind it.
  void finish(Words words, std::size_t done, Digest& digest) const {
    compress(words, whole_block(done), whole_blocks_ - done);
    compress(words, rest_.data(), rest_blocks_);
    for (std::size_t i = 0; i < digest.size(); ++i)
      digest[i] = static_cast<std::byte>(words[i / 4] >> (24 - 8 * (i % 4)));
  }

 private:
  std::array<std::byte, kBlock> first_{};
  const std::byte* whole_ = nullptr;
  std::size_t whole_blocks_ = 0;
  std::array<std::byte, 2 * kBlock> rest_{};
  std::size_t rest_blocks_ = 0;
};

// One message on its way.
struct Begun {
  const Cut* cut = nullptr;
  Digest* digest = nullptr;
  Words words = kSha256Initial;
  std::size_t done = 0;  // of its whole blocks

  [[nodiscard]] std::size_t left() const { return cut->whole_blocks() - done; }
};

void finish_two(Begun& one, Begun& other) {
  const std::size_t both = std::min(one.left(), other.left());
  compress_two(one.words, one.cut->whole_block(one.done), other.words,
               other.cut->whole_block(other.done), both);
  for (Begun* each : {&one, &other})
    each->cut->finish(each->words, each->done + both, *each->digest);
}

void finish_all(std::span<Begun> messages) {
  for (; messages.size() > 1; messages = messages.subspan(2))
    finish_two(messages[0], messages[1]);
  for (const Begun& last : messages)
    last.cut->finish(last.words, last.done, *last.digest);
}

void hash_two(const Cut& one, const Cut& other, Digest& digest, Digest& other_digest) {
  std::array<Begun, 2> both{Begun{&one, &digest}, Begun{&other, &other_digest}};
  compress_two(both[0].words, one.first_block(), both[1].words, other.first_block(), 1);
  finish_two(both[0], both[1]);
}

// `blocks` of each message from where `input` says; the rest of the lanes have nothing to do.
template <typename Input>
void compress_side_by_side(std::span<Begun* const> messages, std::size_t blocks, Input input) {
  static constexpr std::array<std::byte, kBlock> kNothing{};
  std::array<Words, kLanes> words{};
  std::array<LaneInput, kLanes> inputs;
  inputs.fill({kNothing.data(), 0});
  for (std::size_t i = 0; i < messages.size(); ++i) {
    words[i] = messages[i]->words;
    inputs[i] = {input(*messages[i]), kBlock};
  }
  compress_lanes(words, inputs, blocks);
  for (std::size_t i = 0; i < messages.size(); ++i)
    messages[i]->words = words[i];
}

// At most kLanes. Goes from the end of one message to that of the next, while there are enough.
void hash_side_by_side(std::span<Begun> all) {
  std::array<Begun*, kLanes> messages{};
  for (std::size_t i = 0; i < all.size(); ++i)
    messages[i] = &all[i];
  const std::span<Begun*> active = std::span(messages).first(all.size());
  compress_side_by_side(active, 1, [](const Begun& begun) { return begun.cut->first_block(); });
  std::ranges::sort(active, std::ranges::greater(),
                    [](const Begun* begun) { return begun->left(); });
  for (std::size_t count = active.size(); count >= kLeastLanes; --count) {
    const std::size_t blocks = active[count - 1]->left();
    if (blocks == 0)
      continue;
    compress_side_by_side(active.first(count), blocks,
                          [](const Begun& begun) { return begun.cut->whole_block(begun.done); });
    for (Begun* begun : active.first(count))
      begun->done += blocks;
  }
  std::array<Begun, kLanes> sorted;
  std::ranges::transform(active, sorted.begin(), [](const Begun* begun) { return *begun; });
  finish_all(std::span(sorted).first(active.size()));
}

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

struct Methods {
  bool two = false;
  bool lanes = false;
};

// Which of them this CPU has and agree with OpenSSL.
Methods find_methods() {
  std::array<std::byte, 3 * kLeastBody> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * i >> 3);
  const ByteView all(bytes);
  // Different heads, lengths and paddings.
  std::array<Message, kLanes> messages;
  std::vector<Cut> cuts;
  std::array<Digest, kLanes> expected;
  for (std::size_t i = 0; i < kLanes; ++i) {
    messages[i] = {all.first(3 * i), all.subspan(i, kLeastBody + 61 * (i * 7 % kLanes))};
    cuts.emplace_back(messages[i]);
    const auto digest = hash_alone(messages[i]);
    if (!digest)
      return {};
    expected[i] = *digest;
  }
  Methods methods;
  if (!cpu_has_sha())
    return methods;
  std::array<Digest, kLanes> digests;
  hash_two(cuts[4], cuts[15], digests[4], digests[15]);
  methods.two = digests[4] == expected[4] && digests[15] == expected[15];
  if (!methods.two || !cpu_has_lanes())
    return methods;
  std::array<Begun, kLanes> begun;
  for (std::size_t i = 0; i < kLanes; ++i)
    begun[i] = {&cuts[i], &digests[i]};
  digests = {};
  hash_side_by_side(begun);
  methods.lanes = digests == expected;
  return methods;
}

const Methods& methods() {
  static const Methods found = find_methods();
  return found;
}

std::size_t at_once() {
  return methods().lanes ? kLanes : methods().two ? 2 : 1;
}

// How many of the first messages it has hashed; 0: they are none for it.
std::size_t hash_some(std::span<const Message> messages, std::span<Digest> digests) {
  if (!methods().two)
    return 0;
  std::size_t count = 0;
  while (count < std::min(messages.size(), at_once()) && fits(messages[count]))
    ++count;
  if (count < 2)
    return 0;
  if (count < kLeastLanes) {
    hash_two(Cut(messages[0]), Cut(messages[1]), digests[0], digests[1]);
    return 2;
  }
  std::vector<Cut> cuts(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count));
  std::array<Begun, kLanes> begun;
  for (std::size_t i = 0; i < count; ++i)
    begun[i] = {&cuts[i], &digests[i]};
  hash_side_by_side(std::span(begun).first(count));
  return count;
}

#else

std::size_t at_once() {
  return 1;
}

std::size_t hash_some(std::span<const Message>, std::span<Digest>) {
  return 0;
}

#endif

}  // namespace

std::size_t sha256_at_once() {
  return at_once();
}

Status sha256_many(std::span<const Message> messages, std::span<Digest> digests) {
  if (messages.size() != digests.size())
    return fail(ErrorCode::Internal, "{} digests of {} messages", digests.size(), messages.size());
  while (!messages.empty()) {
    std::size_t done = hash_some(messages, digests);
    if (done == 0) {
      TROTH_TRY(digests[0], hash_alone(messages[0]));
      done = 1;
    }
    messages = messages.subspan(done);
    digests = digests.subspan(done);
  }
  return {};
}

}  // namespace common::crypto
