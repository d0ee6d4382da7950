#include "common/wire/hex.hpp"

#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

TEST_CASE("hexadecimal round-trips every byte") {
  Bytes all;
  for (int i = 0; i < 256; ++i)
    all.push_back(std::byte(i));
  const std::string text = to_hex(all);
  CHECK(text.size() == 512);
  CHECK(text.substr(0, 8) == "00010203");
  CHECK(from_hex(text).value() == all);
  CHECK(from_hex("").value().empty());
}

TEST_CASE("hexadecimal has one spelling") {
  for (const char* bad : {"0", "0g", "AB", "aB", " 00", "0x", "-1", "\xC3\xA9"}) {
    CHECK_FAILS(from_hex(bad), ErrorCode::Protocol);
  }
  Bytes two(2);
  CHECK_FAILS(from_hex_into("00", two), ErrorCode::Protocol);
  CHECK_FAILS(from_hex_into("000000", two), ErrorCode::Protocol);
}

TEST_CASE("an operation id is 32 digits") {
  const OperationId id{.high = 0x0123456789abcdef, .low = 0xfe};
  CHECK(to_hex(id) == "0123456789abcdef00000000000000fe");
  CHECK(operation_id_from_hex(to_hex(id)).value() == id);
  CHECK_FAILS(operation_id_from_hex("0123456789abcdef00000000000000f"), ErrorCode::Protocol);
  CHECK_FAILS(operation_id_from_hex("0123456789abcdef00000000000000fE"), ErrorCode::Protocol);
  CHECK_FAILS(operation_id_from_hex("0123456789abcdef00000000000000fe0"), ErrorCode::Protocol);
}
