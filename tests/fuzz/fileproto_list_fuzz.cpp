// Packed entries of a directory; the first byte says how many.

#include <nlohmann/json.hpp>

#include "common/fileproto/frames.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_list) {
  using namespace common::fileproto;
  if (size == 0)
    return 0;
  static const nlohmann::json kHead = nlohmann::json::parse(encode_packed({}).head);
  nlohmann::json head = kHead;
  head["count"] = data[0];
  return fuzz::one_form(
      data + 1, size - 1, [&](common::ByteView raw) { return decode_packed_list(head, raw); },
      [](const ListResult& list) { return encode_packed(list).raw; });
}
