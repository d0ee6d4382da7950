// Binary messages: exactly the bytes that encode them, from every truncation and flipped bit.

#include <nlohmann/json.hpp>

#include "common/fileproto/frames.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "tests/support/fileproto_samples.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::fileproto;

namespace {

Fid fid(std::uint64_t node) {
  return {VolumeId(3), NodeId(node)};
}

Attributes plain_file() {
  Attributes file = test_support::sample_file();
  file.content.reset();
  return file;
}

Update sample_update() {
  Update update{78, VolumeId(3), Epoch(5), Seq(901), {}};
  update.nodes = {{NodeId(7), Seq(8), true, false, plain_file(), {}},
                  {NodeId(1), Seq(899), false, false, {}, EntryChange{"n\xFF", NodeId(12)}},
                  {NodeId(12), Seq(3), false, true, {}, EntryChange{"x", {}}}};
  return update;
}

std::vector<ServerMessage> server_samples() {
  return {ServerProof{},
          Break{6, 77, {{fid(7), broken::kBytes}, {fid(8), broken::kAll}}},
          Break{7, 78, {}},
          sample_update(),
          Stable{VolumeId(3), Epoch(5), Seq(901)},
          Ended{EndedWhy::Revoked, {}},
          GiveBack{VolumeId(3), 1}};
}

// Nothing shorter or longer decodes, and what a flipped bit makes of it is a message that encodes
// to just that, or none.
template <typename Decode, typename Encode>
void withstands(const Bytes& bytes, Decode decode, Encode encode) {
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FAILS(decode(ByteView(bytes).first(size)), ErrorCode::Protocol);
  Bytes longer = bytes;
  longer.push_back(std::byte{0});
  CHECK_FAILS(decode(longer), ErrorCode::Protocol);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto decoded = decode(flipped);
    if (decoded)
      CHECK(encode(*decoded) == flipped);
    else
      CHECK(decoded.error().code == ErrorCode::Protocol);
  }
}

}  // namespace

TEST_CASE("messages of a stream come back from their bytes, and from no others") {
  for (const ServerMessage& message : server_samples()) {
    const auto bytes = encode_message(message);
    REQUIRE_OK(bytes);
    CHECK(decode_server_message(*bytes).value() == message);
    CHECK_FAILS(decode_mount_message(*bytes), ErrorCode::Protocol);
    withstands(*bytes, decode_server_message,
               [](const ServerMessage& each) { return encode_message(each).value(); });
  }
  for (const MountMessage& message :
       {MountMessage(Acknowledge{6}), MountMessage(Flushing{6, std::chrono::milliseconds(5)})}) {
    const auto bytes = encode_message(message);
    REQUIRE_OK(bytes);
    CHECK(decode_mount_message(*bytes).value() == message);
    CHECK_FAILS(decode_server_message(*bytes), ErrorCode::Protocol);
    withstands(*bytes, decode_mount_message,
               [](const MountMessage& each) { return encode_message(each).value(); });
  }
}

TEST_CASE("the longest break fits a stream's message, a longer one is not made") {
  Break all{~0ULL, ~0ULL, {kMaxBreakNodes, {fid(kMaxNodeId), broken::kAll}}};
  const auto bytes = encode_message(ServerMessage(all));
  REQUIRE_OK(bytes);
  CHECK(bytes->size() <= kMaxStreamMessage);
  CHECK(decode_server_message(*bytes).value() == ServerMessage(all));
  all.nodes.push_back({fid(1), broken::kAll});
  CHECK_FAILS(encode_message(ServerMessage(all)), ErrorCode::InvalidArgument);
}

TEST_CASE("what a decoder would refuse is not encoded") {
  const auto update = [](const UpdatedNode& node) {
    return encode_message(ServerMessage(Update{1, VolumeId(3), Epoch(1), Seq(1), {node}}));
  };
  CHECK_OK(update({NodeId(7), Seq(1), false, false, plain_file(), {}}));
  CHECK_FAILS(update({NodeId(8), Seq(1), false, false, plain_file(), {}}),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(update({NodeId(8), Seq(1), false, false, {}, EntryChange{"..", {}}}),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_message(ServerMessage(Update{1, VolumeId(3), Epoch(1), Seq(1), {}})),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_message(ServerMessage(Break{1, 1, {{fid(1), 0}}})),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_message(MountMessage(Flushing{1, std::chrono::milliseconds(0)})),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_message(MountMessage(Flushing{1, std::chrono::hours(1)})),
              ErrorCode::InvalidArgument);
}

TEST_CASE("an update of many nodes is split into messages that fit, in order") {
  Update update{78, VolumeId(3), Epoch(5), Seq(901), {}};
  for (std::uint64_t id = 1; id <= 500; ++id) {
    Attributes file = plain_file();
    file.node = NodeId(id);
    update.nodes.push_back(
        {NodeId(id), Seq(1), true, false, file, EntryChange{std::string(255, 'n'), NodeId(id)}});
  }
  CHECK_FAILS(encode_message(ServerMessage(update)), ErrorCode::InvalidArgument);
  const auto parts = split(update);
  Update joined = update;
  joined.nodes.clear();
  for (const Update& part : parts) {
    CHECK_OK(encode_message(ServerMessage(part)));
    joined.nodes.insert(joined.nodes.end(), part.nodes.begin(), part.nodes.end());
  }
  CHECK(joined == update);
  CHECK(parts.size() == 500 / 43 + 1);
  CHECK(split(Update{}).empty());
}

TEST_CASE("packed attributes are 103 bytes and nothing else") {
  const auto packed = pack(plain_file());
  static_assert(packed.size() == 103);
  CHECK(unpack(packed).value() == plain_file());
  withstands(Bytes(packed.begin(), packed.end()), unpack, [](const Attributes& each) {
    const auto again = pack(each);
    return Bytes(again.begin(), again.end());
  });
}

TEST_CASE("a packed list is as many entries as its head says") {
  const ListResult list{
      {Epoch(5), Seq(900), 77}, plain_file(), {{"a", plain_file()}, {"bc", plain_file()}}, "bc"};
  const PackedList packed = encode_packed(list);
  const auto head = nlohmann::json::parse(packed.head);
  CHECK(decode_packed_list(head, packed.raw).value() == list);
  for (std::size_t size = 0; size < packed.raw.size(); ++size)
    CHECK_FALSE(decode_packed_list(head, ByteView(packed.raw).first(size)).has_value());
  for (const int count : {0, 1, 3, 5'000}) {
    auto other = head;
    other["count"] = count;
    CHECK_FALSE(decode_packed_list(other, packed.raw).has_value());
  }
}

TEST_CASE("files in bulk are whole, and their lengths are true") {
  Attributes file = plain_file();
  file.size = 5;
  Attributes refused;
  refused.node = NodeId(9);
  Bytes raw;
  std::size_t said = 0;
  for (const BulkFile& each :
       {BulkFile{BulkKind::Whole, file, as_bytes("hello")}, BulkFile{BulkKind::Unchanged, file, {}},
        BulkFile{BulkKind::NotSmall, file, {}}, BulkFile{BulkKind::Refused, refused, {}}}) {
    append_bulk(raw, each);
    said += bulk_size(each);
    CHECK(raw.size() == said);
  }
  const auto files = decode_bulk(raw, 4);
  REQUIRE_OK(files);
  CHECK(as_text((*files)[0].bytes) == "hello");
  CHECK((*files)[3].kind == BulkKind::Refused);
  withstands(
      raw, [](ByteView bytes) { return decode_bulk(bytes, 4); },
      [](const std::vector<BulkFile>& all) {
        Bytes again;
        for (const BulkFile& each : all)
          append_bulk(again, each);
        return again;
      });
  CHECK_FAILS(decode_bulk(raw, 3), ErrorCode::Protocol);
  CHECK_FAILS(decode_bulk(raw, 5), ErrorCode::Protocol);
  CHECK_FAILS(decode_bulk(raw, 5'000), ErrorCode::TooLarge);
  Bytes lying;
  append_bulk(lying, {BulkKind::Whole, file, as_bytes("hell")});
  CHECK_FAILS(decode_bulk(lying, 1), ErrorCode::Protocol);
}

TEST_CASE("commit records come one after the other") {
  Bytes raw;
  append_record(raw, as_bytes("one"));
  append_record(raw, as_bytes(""));
  const auto records = decode_records(raw, 2);
  REQUIRE_OK(records);
  CHECK(as_text((*records)[0]) == "one");
  CHECK((*records)[1].empty());
  withstands(
      raw, [](ByteView bytes) { return decode_records(bytes, 2); },
      [](const std::vector<ByteView>& all) {
        Bytes again;
        for (const ByteView each : all)
          append_record(again, each);
        return again;
      });
  CHECK_FAILS(decode_records(raw, 5'000), ErrorCode::TooLarge);
}

TEST_CASE("who joins a session proves its key, his name and his connection") {
  const Bytes key(32, std::byte{0x5E});
  const Bytes binding(32, std::byte{0xC4});
  const auto proof = session_proof(key, kJoinLabel, binding, "alice");
  REQUIRE_OK(proof);
  CHECK(is_session_proof(key, kJoinLabel, binding, "alice", *proof));
  CHECK_FALSE(is_session_proof(key, kJoinLabel, binding, "alicf", *proof));
  CHECK_FALSE(is_session_proof(key, kStreamLabel, binding, "alice", *proof));
  CHECK_FALSE(is_session_proof(key, kJoinLabel, Bytes(32, std::byte{0xC5}), "alice", *proof));
  CHECK_FALSE(is_session_proof(Bytes(32), kJoinLabel, binding, "alice", *proof));
  for (std::size_t bit = 0; bit < 256; ++bit) {
    Proof flipped = *proof;
    flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    CHECK_FALSE(is_session_proof(key, kJoinLabel, binding, "alice", flipped));
  }
  const StreamCredential credential{SessionId(11), *proof};
  const Bytes bytes = encode_stream_credential(credential);
  CHECK(decode_stream_credential(bytes).value() == credential);
  withstands(bytes, decode_stream_credential, encode_stream_credential);
}
