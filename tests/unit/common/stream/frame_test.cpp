#include "common/stream/frame.hpp"

#include <random>

#include "tests/support/test.hpp"
#include "tests/unit/common/stream/bytes.hpp"

namespace {

using namespace common::stream;
using common::ErrorCode;
using stream_test::bytes;
using stream_test::header;
using stream_test::operator+;
using stream_test::text;

std::vector<Bytes> one_of_each() {
  return {encode_hello({.credential = bytes("ticket")}),
          encode_hello({}),
          encode_welcome({.keep_alive = std::chrono::seconds(30),
                          .lease = std::chrono::seconds(90),
                          .server_epoch = 7}),
          encode_renew(1),
          encode_renewed(UINT64_MAX),
          encode_message(bytes("x")),
          encode_message(Bytes(kMaxMessage, std::byte{0xAB})),
          encode_goodbye({.reason = GoodbyeReason::Overloaded,
                          .retry_after = std::chrono::milliseconds(1500),
                          .text = "later"})};
}

// All frames that come out when `pieces` go in one after the other, as type byte + payload.
common::Result<std::vector<std::string>> decode_all(const std::vector<BytesView>& pieces) {
  FrameDecoder decoder;
  std::vector<std::string> frames;
  for (BytesView piece : pieces) {
    for (;;) {
      TROTH_TRY(auto frame, decoder.next(piece));
      if (!frame)
        break;
      frames.push_back(static_cast<char>(frame->type) + text(frame->payload));
    }
    CHECK(piece.empty());
  }
  CHECK_FALSE(decoder.mid_frame());
  return frames;
}

TEST_CASE("every frame may be torn at every byte") {
  for (const Bytes& frame : one_of_each()) {
    const auto whole = decode_all({BytesView(frame)});
    REQUIRE_OK(whole);
    REQUIRE(whole->size() == 1);
    CHECK((*whole)[0].substr(1) == text(BytesView(frame).subspan(kHeaderSize)));
    // Every split of a long message adds nothing but time; its ends and a sample will do.
    const std::size_t step = frame.size() > 1000 ? 997 : 1;
    for (std::size_t cut = 0; cut <= frame.size();
         cut += (cut < 8 || cut + 8 > frame.size()) ? 1 : step) {
      const auto torn = decode_all({BytesView(frame).first(cut), BytesView(frame).subspan(cut)});
      REQUIRE_OK(torn);
      CHECK(*torn == *whole);
    }
  }
}

TEST_CASE("frames in a row come out the same in one piece, byte by byte and in random pieces") {
  Bytes all;
  for (const Bytes& frame : one_of_each())
    all = all + frame;
  const auto whole = decode_all({BytesView(all)});
  REQUIRE_OK(whole);
  CHECK(whole->size() == one_of_each().size());

  std::vector<BytesView> single;
  for (std::size_t i = 0; i < all.size(); ++i)
    single.push_back(BytesView(all).subspan(i, 1));
  CHECK(*decode_all(single) == *whole);

  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<BytesView> pieces;
    for (BytesView rest(all); !rest.empty();) {
      const std::size_t n = std::min<std::size_t>(rest.size(), random() % 3000 + 1);
      pieces.push_back(rest.first(n));
      rest = rest.subspan(n);
    }
    CHECK(*decode_all(pieces) == *whole);
  }
}

TEST_CASE("fields survive the round trip") {
  const Bytes hello = encode_hello({.lowest_version = 1,
                                    .highest_version = 9,
                                    .credential = Bytes(kMaxCredential, std::byte{7})});
  const auto hello_back = decode_hello(BytesView(hello).subspan(kHeaderSize));
  REQUIRE_OK(hello_back);
  CHECK(hello_back->highest_version == 9);
  CHECK(hello_back->credential == Bytes(kMaxCredential, std::byte{7}));

  const Bytes welcome = encode_welcome({.version = 1,
                                        .keep_alive = std::chrono::milliseconds(10),
                                        .lease = std::chrono::milliseconds(30),
                                        .server_epoch = 0x0102030405060708});
  const auto welcome_back = decode_welcome(BytesView(welcome).subspan(kHeaderSize));
  REQUIRE_OK(welcome_back);
  CHECK(welcome_back->lease == std::chrono::milliseconds(30));
  CHECK(welcome_back->server_epoch == 0x0102030405060708);

  const Bytes goodbye = encode_goodbye({.reason = GoodbyeReason::Replaced,
                                        .retry_after = std::chrono::milliseconds(5),
                                        .text = std::string(1000, 'x')});
  const auto goodbye_back = decode_goodbye(BytesView(goodbye).subspan(kHeaderSize));
  REQUIRE_OK(goodbye_back);
  CHECK(goodbye_back->reason == GoodbyeReason::Replaced);
  CHECK(goodbye_back->text.size() == kMaxGoodbyeText);
}

TEST_CASE("an unknown goodbye reason is a plain one") {
  Bytes goodbye = encode_goodbye({.reason = GoodbyeReason::Expired, .text = ""});
  goodbye[kHeaderSize] = std::byte{200};
  const auto back = decode_goodbye(BytesView(goodbye).subspan(kHeaderSize));
  REQUIRE_OK(back);
  CHECK(back->reason == GoodbyeReason::Leaving);
}

TEST_CASE("F48 a length outside the limits of its type is refused from the header alone") {
  const struct {
    std::uint32_t length;
    std::uint8_t type;
  } lies[] = {{0, 1},
              {7, 1},
              {8 + kMaxCredential + 1, 1},
              {17, 2},
              {19, 2},
              {7, 3},
              {9, 3},
              {0, 4},
              {0, 5},
              {kMaxMessage + 1, 5},
              {UINT32_MAX, 5},
              {0x80000000, 5},
              {4, 6},
              {5 + kMaxGoodbyeText + 1, 6},
              {1, 0},
              {1, 7},
              {8, 255},
              {UINT32_MAX, 1}};
  for (const auto& lie : lies) {
    CAPTURE(lie.length);
    CAPTURE(static_cast<int>(lie.type));
    const Bytes bad = header(lie.length, lie.type);
    for (std::size_t cut = 0; cut < kHeaderSize; ++cut) {
      FrameDecoder decoder;
      BytesView first = BytesView(bad).first(cut);
      BytesView rest = BytesView(bad).subspan(cut);
      REQUIRE_OK(decoder.next(first));
      CHECK_FAILS(decoder.next(rest), ErrorCode::Protocol);
    }
  }
}

TEST_CASE("a length that lies costs only the bytes that were really sent") {
  FrameDecoder decoder;
  const Bytes begun = header(kMaxMessage, 5) + bytes("only this");
  BytesView input(begun);
  const auto frame = decoder.next(input);
  REQUIRE_OK(frame);
  CHECK_FALSE(frame->has_value());
  CHECK(decoder.mid_frame());
  CHECK(decoder.held_bytes() == begun.size());
}

TEST_CASE("payload decoders refuse what their frame type does not allow") {
  CHECK_FAILS(decode_hello(bytes("TRST")), ErrorCode::Protocol);
  CHECK_FAILS(decode_hello(bytes("GET / HT")), ErrorCode::Protocol);
  Bytes reversed = encode_hello({.lowest_version = 3, .highest_version = 2});
  CHECK_FAILS(decode_hello(BytesView(reversed).subspan(kHeaderSize)), ErrorCode::Protocol);
  CHECK_FAILS(decode_number(bytes("1234567")), ErrorCode::Protocol);
  CHECK_FAILS(decode_goodbye({}), ErrorCode::Protocol);
  // A keep-alive of zero would have the mount renew without pause.
  for (const auto& [keep_alive, lease] : {std::pair{0, 100}, std::pair{50, 100}}) {
    const Bytes welcome = encode_welcome({.keep_alive = std::chrono::milliseconds(keep_alive),
                                          .lease = std::chrono::milliseconds(lease)});
    CHECK_FAILS(decode_welcome(BytesView(welcome).subspan(kHeaderSize)), ErrorCode::Protocol);
  }
}

}  // namespace
