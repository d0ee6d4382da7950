#include "tests/scenario/file/content_client.hpp"

#include "common/fileproto/block_names.hpp"
#include "common/sim/random.hpp"
#include "common/wire/hex.hpp"
#include "tests/support/test.hpp"

namespace content {

namespace rpc = common::rpc;
using common::Result;

bool is_refused(const common::Error& error, common::ErrorCode code) {
  return error.code == code || error.code == common::ErrorCode::OutcomeUnknown;
}

json make_file(FileMount& mount, const json& directory, const std::string& name) {
  const auto made = mount.change("create", {{"dir", directory}, {"name", name}, {"mode", 0644}});
  REQUIRE_OK(made);
  return {directory[0], (*made)["done"][0]["node"]};
}

Result<json> put(FileMount& mount, const json& fid, const std::string& text, const json& more) {
  json args{{"fid", fid}, {"size", text.size()}};
  if (!text.empty())
    args["edits"] = json::array({json::array({0, text.size()})});
  args.update(more);
  return mount.change("store", args, {.bytes = text});
}

json node_in(const json& answer, const json& fid) {
  for (const json& node : answer["nodes"]) {
    if (node["n"] == fid[1])
      return node;
  }
  return {};
}

Result<Fetched> fetch(rpc::Client& client, const json& fid, std::uint64_t size, const json& more) {
  json args{{"fid", fid}, {"ranges", json::array({json::array({0, size})})}};
  args.update(more);
  rpc::Request request;
  request.service = "file";
  request.operation = "fetch";
  request.args = args.dump();
  TROTH_TRY(const rpc::Answer answer, client.call(request).answer);
  Fetched fetched{answer.result(), std::string(size, '\0')};
  std::size_t at = 0;
  for (const json& range : fetched.result["ranges"]) {
    const auto offset = range[0].get<std::uint64_t>();
    const auto length = range[1].get<std::uint64_t>();
    REQUIRE(offset + length <= size);
    REQUIRE(at + length <= answer.bytes.size());
    fetched.bytes.replace(offset, length, common::as_text(answer.bytes).substr(at, length));
    at += length;
  }
  CHECK(at == answer.bytes.size());
  return fetched;
}

Result<json> stage_write(rpc::Client& client, const json& staging, const Piece& piece) {
  TROTH_TRY(auto hash,
            common::fileproto::hash_of_piece(piece.offset, common::as_bytes(piece.bytes)));
  if (piece.lies)
    hash[5] ^= std::byte{1};
  rpc::Request request;
  request.service = "file";
  request.operation = "stage-write";
  request.args =
      json{{"staging", staging}, {"offset", piece.offset}, {"hash", common::wire::to_hex(hash)}}
          .dump();
  request.bytes = common::as_bytes(piece.bytes);
  TROTH_TRY(const rpc::Answer answer, client.call(request).answer);
  return answer.result();
}

std::string noise(std::size_t length, std::uint64_t seed) {
  common::sim::Random random(seed);
  std::string text(length, '\0');
  for (char& c : text)
    c = static_cast<char>(random.next());
  return text;
}

}  // namespace content
