#include "common/ticket/siphash.hpp"

#include <bit>

namespace common::ticket {
namespace {

// Little-endian, as SipHash is defined.
std::uint64_t load(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

struct State {
  std::uint64_t v0, v1, v2, v3;

  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  }

  void take(std::uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
};

}  // namespace

std::uint64_t siphash(const std::array<std::byte, 16>& key, ByteView data) {
  const std::uint64_t k0 = load(ByteView(key).first(8));
  const std::uint64_t k1 = load(ByteView(key).last(8));
  // The constants spell "somepseudorandomlygeneratedbytes".
  State state{k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261,
              k1 ^ 0x7465646279746573};
  const std::uint64_t length = std::uint64_t{data.size()} << 56;
  for (; data.size() >= 8; data = data.subspan(8))
    state.take(load(data.first(8)));
  state.take(length | load(data));
  state.v2 ^= 0xFF;
  state.rounds(4);
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace common::ticket
