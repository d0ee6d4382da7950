#include "common/db/page_checksum.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace common::db {
namespace {

// Odd, so that multiplying by them loses nothing; otherwise arbitrary well-mixed bits (the
// fractional parts of the golden ratio and of the square roots of 2, 3 and 5).
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
constexpr std::array<std::uint64_t, 4> kSeeds{0x6A09E667F3BCC909ULL, 0xBB67AE8584CAA73BULL,
                                              0x3C6EF372FE94F82BULL, 0x9E3779B97F4A7C15ULL};

static_assert(std::endian::native == std::endian::little,
              "a database must read the same everywhere: swap the words on this machine");

std::uint64_t word_at(const std::byte* page, std::size_t index) {
  std::uint64_t word = 0;
  std::memcpy(&word, page + index * sizeof word, sizeof word);
  return word;
}

// A bijection of `lane` for a fixed word and of `word` for a fixed lane: this is why a change in
// one word cannot cancel out.
std::uint64_t absorb(std::uint64_t lane, std::uint64_t word) {
  return std::rotl(lane ^ word, 29) * kGolden;
}

}  // namespace

std::uint64_t page_checksum(std::uint64_t page_number, Page page) {
  constexpr std::size_t kWords = (kPageSize - kChecksumSize) / sizeof(std::uint64_t);
  // Four independent lanes, because one would wait for each multiplication in turn.
  auto lanes = kSeeds;
  std::size_t i = 0;
  for (; i + lanes.size() <= kWords; i += lanes.size()) {
    lanes[0] = absorb(lanes[0], word_at(page.data(), i));
    lanes[1] = absorb(lanes[1], word_at(page.data(), i + 1));
    lanes[2] = absorb(lanes[2], word_at(page.data(), i + 2));
    lanes[3] = absorb(lanes[3], word_at(page.data(), i + 3));
  }
  for (; i < kWords; ++i)
    lanes[0] = absorb(lanes[0], word_at(page.data(), i));
  std::uint64_t sum = (page_number + 1) * kGolden;
  for (const std::uint64_t lane : lanes) {
    sum = absorb(sum, lane);
    sum ^= sum >> 32;
  }
  return sum;
}

void seal_page(std::uint64_t page_number, std::span<std::byte, kPageSize> page) {
  const std::uint64_t sum = page_checksum(page_number, page);
  std::memcpy(page.data() + kPageSize - kChecksumSize, &sum, sizeof sum);
}

bool page_is_intact(std::uint64_t page_number, Page page) {
  return word_at(page.data(), kPageSize / sizeof(std::uint64_t) - 1) ==
         page_checksum(page_number, page);
}

}  // namespace common::db
