// A dump of the KDC's database, line by line as loading it reads them.

#include <algorithm>

#include "common/wire/kdc_dump.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace common::wire;

void check_line(std::string_view line) {
  const auto decoded = decode_kdc_dump(line);
  if (!decoded) {
    const auto code = decoded.error().code;
    using common::ErrorCode;
    fuzz::require(code == ErrorCode::Protocol || code == ErrorCode::TooLarge ||
                      code == ErrorCode::Unsupported,
                  "ill-formed means Protocol, over a limit TooLarge, another version Unsupported");
    return;
  }
  const auto back = std::visit([](const auto& value) { return encode_kdc_dump(value); }, *decoded);
  fuzz::require(back.has_value() && back->ends_with('\n'), "what was decoded can be encoded");
  const std::string_view again(back->data(), back->size() - 1);
  fuzz::require(again.find('\n') == std::string_view::npos, "one line");
  if (again.size() > kMaxKdcDumpLine)
    return;  // its texts were written shorter than we write them
  const auto twice = decode_kdc_dump(again);
  fuzz::require(twice && twice->index() == decoded->index(), "it is of the same kind");
  const auto same = std::visit([](const auto& value) { return encode_kdc_dump(value); }, *twice);
  fuzz::require(same && *same == *back, "and says the same");
}

}  // namespace

FUZZ_TARGET(kdc_dump) {
  std::string_view text = fuzz::text(data, size);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    check_line(line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}
