// The messages of fileserver/PROTOCOL.md, byte by byte.

#include <nlohmann/json.hpp>

#include "common/fileproto/frames.hpp"
#include "common/fileproto/stream_messages.hpp"
#include "common/wire/hex.hpp"
#include "golden.hpp"
#include "tests/support/fileproto_samples.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::fileproto;
using test_support::sample_directory;
using test_support::sample_file;

namespace {

Fid fid(std::uint64_t node) {
  return {VolumeId(3), NodeId(node)};
}

template <typename Message>
void pinned(const std::string& file, const Message& message) {
  const auto encoded = encode_message(message);
  REQUIRE_OK(encoded);
  const Bytes bytes = golden(file, *encoded);
  if constexpr (std::is_same_v<Message, ServerMessage>) {
    CHECK(decode_server_message(bytes).value() == message);
    CHECK_FAILS(decode_mount_message(bytes), ErrorCode::Protocol);
  } else {
    CHECK(decode_mount_message(bytes).value() == message);
    CHECK_FAILS(decode_server_message(bytes), ErrorCode::Protocol);
  }
}

}  // namespace

TEST_CASE("calls of the file protocol keep their form") {
  std::string all;
  for (const auto& sample : test_support::fileproto_samples())
    all += fmt::format("{} {}\n", sample.name, sample.text);
  check_golden("fileproto_calls.txt", all);
  // What stands in the file decodes to what the samples are.
  const std::string file = read_golden("fileproto_calls.txt");
  for (const auto& sample : test_support::fileproto_samples()) {
    CAPTURE(sample.name);
    const std::string start = fmt::format("{} ", sample.name);
    const std::size_t at = file.starts_with(start) ? 0 : file.find("\n" + start) + 1;
    const std::string line = file.substr(at, file.find('\n', at) - at);
    const auto recoded = sample.recode_text(line.substr(start.size()));
    REQUIRE_OK(recoded);
    CHECK(*recoded == sample.text);
  }
}

TEST_CASE("packed attributes keep their form") {
  const auto packed = pack(sample_file());
  const Bytes bytes = golden("fileproto_attributes.hex", Bytes(packed.begin(), packed.end()));
  Attributes file = sample_file();
  file.content.reset();
  CHECK(unpack(bytes).value() == file);
}

TEST_CASE("messages of a session's stream keep their form") {
  std::array<std::byte, 32> proof{};
  proof.fill(std::byte{0xA5});
  pinned("fileproto_proof.hex", ServerMessage(ServerProof{proof}));
  pinned("fileproto_break.hex",
         ServerMessage(Break{6, 77, {{fid(7), broken::kBytes}, {fid(8), broken::kAll}}}));
  pinned("fileproto_break_all.hex", ServerMessage(Break{7, 78, {}}));
  pinned("fileproto_acknowledge.hex", MountMessage(Acknowledge{6}));
  pinned("fileproto_flushing.hex", MountMessage(Flushing{6, std::chrono::milliseconds(2'500)}));
  Attributes file = sample_file();
  file.content.reset();
  Update update{78, VolumeId(3), Epoch(5), Seq(901), {}};
  update.nodes = {{NodeId(7), Seq(8), true, false, file, {}},
                  {NodeId(1), Seq(899), false, false, {}, EntryChange{"n\xFF", NodeId(12)}},
                  {NodeId(12), Seq(3), false, true, {}, {}}};
  pinned("fileproto_update.hex", ServerMessage(update));
  pinned("fileproto_stable.hex", ServerMessage(Stable{VolumeId(3), Epoch(5), Seq(901)}));
  pinned("fileproto_ended.hex", ServerMessage(Ended{EndedWhy::VolumeDeleted, VolumeId(3)}));
  pinned("fileproto_give_back.hex", ServerMessage(GiveBack{VolumeId(3), 1'048'576}));
}

TEST_CASE("a stream's credential keeps its form") {
  StreamCredential credential{SessionId(11), {}};
  credential.proof.fill(std::byte{0xA5});
  const Bytes bytes = golden("fileproto_credential.hex", encode_stream_credential(credential));
  CHECK(decode_stream_credential(bytes).value() == credential);
}

TEST_CASE("packed entries and files in bulk keep their form") {
  Attributes file = sample_file();
  file.content.reset();
  ListResult list{{Epoch(5), Seq(900), 77}, sample_directory(), {{"a", file}, {"\xFF", file}}, {}};
  const PackedList packed = encode_packed(list);
  CHECK(packed.head.starts_with(R"({"e":5,"stable":900,"grants":77,"dir":{"n":1,"k":"d",)"));
  CHECK(packed.head.ends_with(R"("count":2})"));
  const Bytes raw = golden("fileproto_list.hex", packed.raw);
  CHECK(decode_packed_list(nlohmann::json::parse(packed.head), raw).value() == list);

  file.size = 5;
  Bytes bulk;
  append_bulk(bulk, {BulkKind::Whole, file, as_bytes("hello")});
  append_bulk(bulk, {BulkKind::Unchanged, file, {}});
  append_bulk(bulk, {BulkKind::NotSmall, file, {}});
  Attributes refused;
  refused.node = NodeId(9);
  append_bulk(bulk, {BulkKind::Refused, refused, {}});
  const Bytes pinned_bulk = golden("fileproto_bulk.hex", bulk);
  const auto files = decode_bulk(pinned_bulk, 4);
  REQUIRE_OK(files);
  CHECK(as_text((*files)[0].bytes) == "hello");
  CHECK((*files)[1].node == file);
  CHECK((*files)[3].node.node == NodeId(9));
}
