// Packed attributes.

#include "common/fileproto/node.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace common::fileproto;
  return fuzz::one_form(data, size, unpack, pack);
}
