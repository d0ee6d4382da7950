// Every JSON message: the first byte says which, the rest is its text. What decodes encodes to a
// text that decodes to the same.

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/fileproto_samples.hpp"

FUZZ_TARGET(fileproto_json) {
  static const auto kSamples = test_support::fileproto_samples();
  if (size == 0)
    return 0;
  const auto& sample = kSamples[data[0] % kSamples.size()];
  const auto text = sample.recode_text(fuzz::text(data + 1, size - 1));
  if (!text) {
    const auto code = text.error().code;
    fuzz::require(code == common::ErrorCode::Protocol || code == common::ErrorCode::TooLarge ||
                      code == common::ErrorCode::InvalidArgument,
                  "ill-formed means one of three codes");
    return 0;
  }
  const auto again = sample.recode_text(*text);
  fuzz::require(again && *again == *text, "what was decoded goes round");
  return 0;
}
