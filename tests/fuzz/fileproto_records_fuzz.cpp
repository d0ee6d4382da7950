// Commit records behind their lengths; the first byte says how many.

#include "common/fileproto/frames.hpp"
#include "tests/fuzz/fileproto_fuzz.hpp"

FUZZ_TARGET(fileproto_records) {
  using namespace common::fileproto;
  if (size == 0)
    return 0;
  return fuzz::one_form(
      data + 1, size - 1, [&](common::ByteView raw) { return decode_records(raw, data[0]); },
      [](const std::vector<common::ByteView>& records) {
        common::Bytes again;
        for (const common::ByteView record : records)
          append_record(again, record);
        return again;
      });
}
