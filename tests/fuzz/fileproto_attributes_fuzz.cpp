// Packed attributes.

#include "common/fileproto/node.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_attributes) {
  using namespace common::fileproto;
  return fuzz::one_form(data, size, unpack, pack);
}
