#include <nlohmann/json.hpp>

#include "common/crypto/aead.hpp"
#include "common/crypto/certificates.hpp"
#include "common/wire/binary.hpp"
#include "common/wire/hex.hpp"
#include "common/wire/json.hpp"
#include "common/wire/mount_status.hpp"
#include "common/wire/name.hpp"
#include "golden.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

TEST_CASE("names keep their form") {
  const std::string names[] = {
      "",          "readme.txt",   "gr\xC3\xBCn",      "gr\xFCn",
      "a\nb\"c\\", "\xED\xA0\x80", "\xF0\x9F\x98\x80", std::string("\0\xFF", 2)};
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& name : names)
    list.push_back(encode_name(name));
  check_golden("names.json", dump_json(list).value() + "\n");

  const std::string text = read_golden("names.json");
  const auto read = parse_json(text.substr(0, text.size() - 1));
  REQUIRE_OK(read);
  REQUIRE(read->size() == std::size(names));
  for (std::size_t i = 0; i < std::size(names); ++i)
    CHECK(decode_name((*read)[i], 100).value() == names[i]);
}

TEST_CASE("binary encodings keep their form") {
  BinaryWriter out;
  out.u8(1).u16(0x0203).u32(0x04050607).u64(0x08090A0B0C0D0E0F).boolean(true).boolean(false);
  out.bytes(as_bytes("raw\xFF")).text("gr\xC3\xBCn").fixed(as_bytes("end"));
  check_golden("binary.hex", to_hex(out.view()) + "\n");
}

TEST_CASE("a mount's status keeps its form") {
  const auto line = encode_mount_status({.version = "0.1.0",
                                         .mount_point = "/mnt/gr\xFCn",
                                         .message = "well",
                                         .uptime_s = 7,
                                         .pid = 42,
                                         .ready = true});
  REQUIRE_OK(line);
  check_golden("mount_status.json", *line);
  CHECK(decode_mount_status(read_golden("mount_status.json")).value().mount_point ==
        "/mnt/gr\xFCn");
}

TEST_CASE("what was sealed once still opens") {
  // Made with this nonce once; sealing itself is random.
  const auto key = crypto::Secret::copy_of(Bytes(32, std::byte{7}));
  const auto sealed = crypto::seal_with_nonce_for_test(key, Bytes(12, std::byte{9}),
                                                       as_bytes("content"), as_bytes("purpose"));
  REQUIRE_OK(sealed);
  check_golden("sealed.hex", to_hex(*sealed) + "\n");
  const std::string text = read_golden("sealed.hex");
  const auto bytes = from_hex(text.substr(0, text.size() - 1));
  REQUIRE_OK(bytes);
  CHECK(as_text(crypto::open(key, *bytes, as_bytes("purpose")).value()) == "content");
}

TEST_CASE("the identity in certificates keeps its form") {
  check_golden(
      "identity.txt",
      crypto::to_uri({.cell_id = "0123456789abcdef", .role = "kdc", .name = "kdc1"}).value() +
          "\n");
}
