// The input is a program of reads followed by its data: no sequence of reads may leave the input.

#include "common/wire/binary.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(binary) {
  using namespace common::wire;
  const std::size_t steps = size < 16 ? size : 16;
  const auto all = common::as_bytes(fuzz::text(data, size));
  BinaryReader in(all.subspan(steps));
  for (std::size_t i = 0; i < steps; ++i) {
    const std::size_t before = in.remaining();
    bool good = false;
    switch (data[i] % 8) {
      case 0:
        good = in.u8().has_value();
        break;
      case 1:
        good = in.u16().has_value();
        break;
      case 2:
        good = in.u32().has_value();
        break;
      case 3:
        good = in.u64().has_value();
        break;
      case 4:
        good = in.boolean().has_value();
        break;
      case 5:
        good = in.bytes(data[i]).has_value();
        break;
      case 6:
        good = in.text(data[i]).has_value();
        break;
      default:
        good = in.fixed(std::size_t{data[i]}).has_value();
        break;
    }
    fuzz::require(in.remaining() <= before, "a read never goes back");
    if (!good)
      return 0;
  }
  fuzz::require(in.finish().has_value() == (in.remaining() == 0), "finish means read to the end");
  return 0;
}
