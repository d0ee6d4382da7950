// Small files in bulk; the first byte says how many.

#include "common/fileproto/frames.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_bulk) {
  using namespace common::fileproto;
  if (size == 0)
    return 0;
  return fuzz::one_form(
      data + 1, size - 1, [&](common::ByteView raw) { return decode_bulk(raw, data[0]); },
      [](const std::vector<BulkFile>& files) {
        common::Bytes again;
        for (const BulkFile& file : files)
          append_bulk(again, file);
        return again;
      });
}
