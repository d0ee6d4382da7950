#include "common/wire/base64.hpp"

#include <utility>

#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

TEST_CASE("base64 gives the texts of RFC 4648") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    CHECK(to_base64(as_bytes(plain)) == coded);
    CHECK(as_text(from_base64(coded).value()) == plain);
  }
  CHECK(to_base64url(as_bytes("\xFB\xFF")) == "-_8");
  CHECK(to_base64(as_bytes("\xFB\xFF")) == "+/8=");
}

TEST_CASE("base64 round-trips every byte in every place") {
  for (std::size_t size = 0; size < 7; ++size) {
    for (int value = 0; value < 256; ++value) {
      const Bytes bytes(size, std::byte(value));
      CHECK(from_base64(to_base64(bytes)).value() == bytes);
      CHECK(from_base64url(to_base64url(bytes)).value() == bytes);
    }
  }
}

TEST_CASE("base64 has one spelling") {
  for (const char* bad :
       {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "=", "Zg==Zg==", "Zm9v\n",
        " Zm9v", "Zm 9", "-_8=", "Zm9v====", "Zm=v", "\xC3\xA9=="}) {
    CHECK_FAILS(from_base64(bad), ErrorCode::Protocol);
  }
  for (const char* bad : {"Z", "Zg==", "Zh", "Zm9", "+/8", "Zm8="}) {
    CHECK_FAILS(from_base64url(bad), ErrorCode::Protocol);
  }
}

TEST_CASE("no two texts of four characters decode to the same bytes") {
  // Changing any one character changes the bytes or is refused.
  const std::string text = to_base64(as_bytes("xy"));
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = text;
      changed[at] = static_cast<char>(c);
      const auto bytes = from_base64(changed);
      if (bytes && as_text(*bytes) == "xy")
        CHECK(changed == text);
    }
  }
}
