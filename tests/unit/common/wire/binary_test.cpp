#include "common/wire/binary.hpp"

#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

namespace {

Bytes sample_bytes() {
  BinaryWriter out;
  out.u8(0xAB).u16(0x0102).u32(0x01020304).u64(0x0102030405060708).boolean(true);
  out.bytes(as_bytes("raw\xFF")).text("gr\xC3\xBCn").fixed(as_bytes("xyz"));
  return out.take();
}

Status read_sample(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY(const auto a, in.u8());
  TROTH_TRY(const auto b, in.u16());
  TROTH_TRY(const auto c, in.u32());
  TROTH_TRY(const auto d, in.u64());
  TROTH_TRY(const bool e, in.boolean());
  TROTH_TRY(const ByteView raw, in.bytes(4));
  TROTH_TRY(const std::string text, in.text(5));
  Bytes last(3);
  TROTH_TRY_VOID(in.fixed(last));
  TROTH_TRY_VOID(in.finish());
  CHECK(a == 0xAB);
  CHECK(b == 0x0102);
  CHECK(c == 0x01020304);
  CHECK(d == 0x0102030405060708);
  CHECK(e);
  CHECK(as_text(raw) == "raw\xFF");
  CHECK(text == "gr\xC3\xBCn");
  CHECK(as_text(last) == "xyz");
  return {};
}

}  // namespace

TEST_CASE("what was written is read back") {
  CHECK_OK(read_sample(sample_bytes()));
}

TEST_CASE("every truncation and every extension is refused") {
  Bytes bytes = sample_bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FAILS(read_sample(ByteView(bytes).first(size)), ErrorCode::Protocol);
  }
  bytes.push_back(std::byte{0});
  CHECK_FAILS(read_sample(bytes), ErrorCode::Protocol);
}

TEST_CASE("lengths over the limit or the input are refused before use") {
  const Bytes huge = BinaryWriter().u32(0xFFFFFFFF).take();
  CHECK_FAILS(BinaryReader(huge).bytes(10), ErrorCode::Protocol);
  CHECK_FAILS(BinaryReader(huge).bytes(0xFFFFFFFF), ErrorCode::Protocol);
  const Bytes eleven = BinaryWriter().text("hello world").take();
  CHECK_FAILS(BinaryReader(eleven).bytes(10), ErrorCode::Protocol);
  CHECK_OK(BinaryReader(eleven).bytes(11));
}

TEST_CASE("booleans and texts have one form") {
  const Bytes two = BinaryWriter().u8(2).take();
  CHECK_FAILS(BinaryReader(two).boolean(), ErrorCode::Protocol);
  const Bytes latin = BinaryWriter().bytes(as_bytes("gr\xFCn")).take();
  CHECK_FAILS(BinaryReader(latin).text(10), ErrorCode::Protocol);
}

TEST_CASE("an empty input has nothing but an end") {
  CHECK_OK(BinaryReader({}).finish());
  CHECK_FAILS(BinaryReader({}).u8(), ErrorCode::Protocol);
  CHECK_OK(BinaryReader({}).fixed(std::size_t{0}));
}
