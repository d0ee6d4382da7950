#include "fileserver/store/blocks/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fileserver::store {

namespace {

using common::ByteView;

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)

// One instruction waits three cycles for the one before it but another can start in each: so three
// stretches are summed side by side and joined. Long enough that joining costs nothing, short
// enough that small blocks gain, too.
constexpr std::size_t kStretch = 1024;

// What `crc` becomes when kStretch zero bytes follow: linear in its bits, hence four tables.
class Shift {
 public:
  Shift() {
    constexpr std::array<std::byte, kStretch> zeros{};
    std::array<std::uint32_t, 32> of_bit{};
    for (std::size_t bit = 0; bit < of_bit.size(); ++bit)
      of_bit[bit] = ~crc32c_portable(~(std::uint32_t{1} << bit), zeros);
    for (std::size_t position = 0; position < 4; ++position) {
      for (std::uint32_t value = 0; value < 256; ++value) {
        std::uint32_t sum = 0;
        for (std::size_t bit = 0; bit < 8; ++bit) {
          if ((value >> bit & 1) != 0)
            sum ^= of_bit[8 * position + bit];
        }
        tables_[position][value] = sum;
      }
    }
  }

  [[nodiscard]] std::uint64_t over(std::uint64_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][crc >> 8 & 0xff] ^ tables_[2][crc >> 16 & 0xff] ^
           tables_[3][crc >> 24 & 0xff];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> tables_{};
};

std::uint64_t word_at(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t so_far, ByteView bytes) {
  static const Shift shift;
  std::uint64_t crc = ~so_far;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * kStretch; at += 3 * kStretch, left -= 3 * kStretch) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kStretch; i += sizeof(std::uint64_t)) {
      crc = _mm_crc32_u64(crc, word_at(at + i));
      second = _mm_crc32_u64(second, word_at(at + kStretch + i));
      third = _mm_crc32_u64(third, word_at(at + 2 * kStretch + i));
    }
    crc = shift.over(shift.over(crc) ^ second) ^ third;
  }
  for (; left >= sizeof(std::uint64_t); at += sizeof(std::uint64_t), left -= sizeof(std::uint64_t))
    crc = _mm_crc32_u64(crc, word_at(at));
  auto result = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left)
    result = _mm_crc32_u8(result, static_cast<unsigned char>(*at));
  return ~result;
}

#endif

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t so_far, ByteView bytes) {
  std::uint32_t crc = ~so_far;
  for (const std::byte byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

std::uint32_t crc32c(std::uint32_t so_far, ByteView bytes) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction)
    return crc32c_sse42(so_far, bytes);
#endif
  return crc32c_portable(so_far, bytes);
}

}  // namespace fileserver::store
