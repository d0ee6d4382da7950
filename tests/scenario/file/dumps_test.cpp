// Volumes out to a stream of bytes and in again, over the protocol; and looking back.

#include <filesystem>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "fileserver/store/meta/record.hpp"
#include "tests/scenario/file/content_client.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using content::fetch;
using content::make_file;
using content::node_in;
using content::noise;
using content::put;
using nlohmann::json;
using test_support::FileCell;
using test_support::FileMount;
namespace fileproto = common::fileproto;
namespace rpc = common::rpc;

namespace {

struct WithBytes {
  json result;
  std::string bytes;
};
common::Result<WithBytes> ask(rpc::Client& client, const std::string& operation, const json& args,
                              std::string_view bytes = {}) {
  rpc::Request request;
  request.service = "file";
  request.operation = operation;
  request.args = args.dump();
  request.bytes = common::as_bytes(bytes);
  TROTH_TRY(const rpc::Answer answer, client.call(request).answer);
  return WithBytes{answer.result(), std::string(common::as_text(answer.bytes))};
}

std::unique_ptr<rpc::Client> connect(FileMount& mount) {
  auto client = mount.join();
  REQUIRE_OK(client);
  return *std::move(client);
}

std::vector<std::string> draw(rpc::Client& client, json args) {
  std::vector<std::string> pieces;
  for (;;) {
    const auto piece = ask(client, "dump", args);
    REQUIRE_OK(piece);
    pieces.push_back(piece->bytes);
    if (!piece->result.contains("cursor"))
      return pieces;
    // What is asked for twice is the same.
    if (pieces.size() == 2) {
      const auto again = ask(client, "dump", args);
      REQUIRE_OK(again);
      CHECK(again->bytes == piece->bytes);
      CHECK(again->result == piece->result);
    }
    args["cursor"] = piece->result["cursor"];
  }
}

// The answer to the last piece.
common::Result<json> load(rpc::Client& client, json args, const std::vector<std::string>& pieces,
                          std::size_t count) {
  json last;
  for (std::size_t i = 0; i < count; ++i) {
    if (i + 1 == count)
      args["end"] = true;
    TROTH_TRY(const WithBytes answer, ask(client, "load", args, pieces[i]));
    last = answer.result;
    if (!last.contains("cursor"))
      break;
    args["cursor"] = last["cursor"];
  }
  return last;
}
common::Result<json> load(rpc::Client& client, const json& args,
                          const std::vector<std::string>& pieces) {
  return load(client, args, pieces, pieces.size());
}

bool has_volume(FileMount& mount, const std::string& name) {
  const auto list = mount.call("volume-list");
  REQUIRE_OK(list);
  const json& volumes = (*list)["volumes"];
  return std::any_of(volumes.begin(), volumes.end(),
                     [&](const json& each) { return each["name"] == name; });
}

json node_of(FileMount& mount, const json& directory, const std::string& name) {
  const auto found = mount.call("lookup", {{"dir", directory}, {"name", name}});
  REQUIRE_OK(found);
  REQUIRE(found->contains("node"));
  return (*found)["node"];
}

}  // namespace

TEST_CASE("a volume is dumped whole, and loaded as another: its files, its history, its lists") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = connect(*mount);
  const json f = make_file(*mount, cell.root(), "f");
  const std::string old = noise(900'000, 1);
  const std::string text = noise(12 << 20, 2);
  const auto first = put(*mount, f, old);
  REQUIRE_OK(first);
  for (std::size_t at = 0; at < text.size(); at += 1 << 20) {
    const json base = node_of(*mount, cell.root(), "f")["dv"];
    json args{{"fid", f},
              {"size", at + (1 << 20)},
              {"edits", json::array({json::array({at, 1 << 20})})},
              {"base", base}};
    REQUIRE_OK(mount->change("store", args, {.bytes = text.substr(at, 1 << 20)}));
  }
  const auto pieces = draw(*client, {{"volume", cell.volume()}, {"from", 0}});
  CHECK(pieces.size() > 1);
  const auto loaded = load(*client, {{"name", "copy"}}, pieces);
  REQUIRE_OK(loaded);
  const json copy = (*loaded)["volume"];
  CHECK(copy != cell.volume());
  const json there{copy, node_of(*mount, {copy, 1}, "f")["n"]};
  auto got = fetch(*client, there, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
  got = fetch(*client, there, old.size(), {{"version", node_in(*first, f)["dv"]}});
  REQUIRE_OK(got);
  CHECK(got->bytes == old);
  // It goes a way of its own.
  REQUIRE_OK(put(*mount, there, "new"));
  got = fetch(*client, f, text.size());
  CHECK(got->bytes == text);
  cell.restart();
  REQUIRE_OK(mount->resume());
  got = fetch(*connect(*mount), there, 3);
  REQUIRE_OK(got);
  CHECK(got->bytes == "new");
}

TEST_CASE(
    "a copy takes dumps from seq to seq, is nobody's meanwhile, and is served with the last") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = connect(*mount);
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(put(*mount, f, "one"));
  const auto whole = draw(*client, {{"volume", cell.volume()}, {"from", 0}});
  const auto loaded = load(*client, {{"name", "backup"}, {"then", "follow"}}, whole);
  REQUIRE_OK(loaded);
  const json copy = (*loaded)["volume"];
  const json stands = (*loaded)["seq"];
  CHECK_FAILS(mount->call("lookup", {{"dir", json::array({copy, 1})}, {"name", "f"}}),
              ErrorCode::Unavailable);
  REQUIRE_OK(put(*mount, f, noise(700'000, 4)));
  const auto second = put(*mount, f, "two");
  REQUIRE_OK(second);
  const auto commits = draw(*client, {{"volume", cell.volume()}, {"from", stands}});
  // A copy that stands elsewhere takes none of it.
  const auto once = load(*client, {{"volume", copy}, {"then", "follow"}}, commits);
  REQUIRE_OK(once);
  CHECK((*once)["seq"] >= (*second)["seq"]);
  REQUIRE_OK(put(*mount, f, "three"));
  REQUIRE_OK(put(*mount, f, "four"));
  const auto late = draw(*client, {{"volume", cell.volume()}, {"from", (*second)["seq"]}});
  // Cut: it stands at a whole commit, and takes the rest later.
  std::vector<std::string> cut{late[0].substr(0, late[0].size() - 10)};
  CHECK_FAILS(load(*client, {{"volume", copy}, {"then", "serve"}}, cut), ErrorCode::Protocol);
  CHECK_FAILS(mount->call("lookup", {{"dir", json::array({copy, 1})}, {"name", "f"}}),
              ErrorCode::Unavailable);
  REQUIRE_OK(load(*client, {{"volume", copy}}, late));
  const json there{copy, node_of(*mount, {copy, 1}, "f")["n"]};
  const auto got = fetch(*client, there, 4);
  REQUIRE_OK(got);
  CHECK(got->bytes == "four");
  REQUIRE_OK(put(*mount, there, "five"));
  // It does not follow any more.
  CHECK_FAILS(load(*client, {{"volume", copy}}, late), ErrorCode::Conflict);
  CHECK_FAILS(load(*client, {{"volume", cell.volume()}}, late), ErrorCode::Conflict);
}

TEST_CASE("a dump that is cut, changed or left alone never becomes a volume") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  auto client = connect(*mount);
  const json f = make_file(*mount, cell.root(), "f");
  for (int i = 0; i < 10; ++i)
    REQUIRE_OK(put(*mount, f, noise(1 << 20, 10 + i)));
  const auto pieces = draw(*client, {{"volume", cell.volume()}, {"from", 0}});
  REQUIRE(pieces.size() > 1);
  const json wanted{{"name", "copy"}};
  CHECK_FAILS(load(*client, wanted, pieces, pieces.size() - 1), ErrorCode::Protocol);
  CHECK_FALSE(has_volume(*mount, "copy"));
  auto changed = pieces;
  changed.back()[changed.back().size() / 2] ^= 1;
  CHECK_FAILS(load(*client, wanted, changed), ErrorCode::Corrupt);
  CHECK_FALSE(has_volume(*mount, "copy"));
  changed = pieces;
  std::swap(changed[0], changed[1]);
  CHECK_FALSE(load(*client, wanted, changed));
  CHECK_FALSE(has_volume(*mount, "copy"));
  CHECK_FALSE(load(*client, wanted, {"no dump at all"}));
  CHECK_FALSE(load(*client, wanted, {""}));
  // The server is killed in the middle: what had come is gone with it.
  REQUIRE_OK(ask(*client, "load", wanted, pieces[0]));
  cell.restart();
  REQUIRE_OK(mount->resume());
  client = connect(*mount);
  CHECK_FALSE(has_volume(*mount, "copy"));
  const auto volumes = cell.cell().role_directory("fileserver") / "data" / "volumes";
  CHECK(std::distance(std::filesystem::directory_iterator(volumes), {}) == 1);
  const auto loaded = load(*client, wanted, pieces);
  REQUIRE_OK(loaded);
  CHECK(has_volume(*mount, "copy"));
  CHECK_FAILS(load(*client, wanted, pieces), ErrorCode::AlreadyExists);
}

TEST_CASE("a piece that comes twice is taken once; dumps and loads are for administrators") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = connect(*mount);
  const json f = make_file(*mount, cell.root(), "f");
  for (int i = 0; i < 10; ++i)
    REQUIRE_OK(put(*mount, f, noise(1 << 20, 10 + i)));
  const auto pieces = draw(*client, {{"volume", cell.volume()}, {"from", 0}});
  json args{{"name", "copy"}};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i + 1 == pieces.size())
      args["end"] = true;
    const auto once = ask(*client, "load", args, pieces[i]);
    REQUIRE_OK(once);
    if (i > 0) {
      const auto twice = ask(*client, "load", args, pieces[i]);
      REQUIRE_OK(twice);
      CHECK(twice->result == once->result);
    }
    if (once->result.contains("cursor"))
      args["cursor"] = once->result["cursor"];
  }
  CHECK(has_volume(*mount, "copy"));
  cell.add_user("bob", "a long password of bob");
  const auto bob = cell.mount(cell.address("bob", "a long password of bob"));
  CHECK_FALSE(ask(*connect(*bob), "dump", {{"volume", cell.volume()}, {"from", 0}}));
  const auto refused = ask(*connect(*bob), "load", {{"name", "bobs"}}, pieces[0]);
  REQUIRE_FALSE(refused);
  CHECK(content::is_refused(refused.error(), ErrorCode::PermissionDenied));
  CHECK_FALSE(
      ask(*connect(*bob), "changes-since", {{"volume", cell.volume()}, {"seq", 1}, {"limit", 10}}));
  CHECK_FAILS(ask(*client, "dump", {{"volume", cell.volume()}, {"from", 0}, {"cursor", "00-1"}}),
              ErrorCode::Expired);
}

TEST_CASE("a sealed volume's dump is sealed, and its copy too") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = connect(*mount);
  const auto made = mount->call(
      "volume-create",
      {{"name", "secret"}, {"sealed", true}, {"policy", json::object()}, {"mode", 0777}});
  REQUIRE_OK(made);
  const json volume = (*made)["volume"];
  const json f = make_file(*mount, {volume, 1}, "f");
  const std::string text(300'000, 's');
  REQUIRE_OK(put(*mount, f, text));
  const auto pieces = draw(*client, {{"volume", volume}, {"from", 0}});
  for (const std::string& piece : pieces)
    CHECK(piece.find("ssssssss") == std::string::npos);
  const auto loaded = load(*client, {{"name", "copy"}}, pieces);
  REQUIRE_OK(loaded);
  const json copy = (*loaded)["volume"];
  const auto got = fetch(*client, {copy, node_of(*mount, {copy, 1}, "f")["n"]}, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE("changes since a seq are told as records, in order and whole") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = connect(*mount);
  const json f = make_file(*mount, cell.root(), "f");
  const auto first = put(*mount, f, "one");
  REQUIRE_OK(first);
  const auto second = put(*mount, f, "two");
  REQUIRE_OK(second);
  const auto answer = ask(*client, "changes-since",
                          {{"volume", cell.volume()}, {"seq", (*first)["seq"]}, {"limit", 100}});
  REQUIRE_OK(answer);
  const auto count = answer->result["count"].get<std::uint32_t>();
  const auto records = fileproto::decode_records(common::as_bytes(answer->bytes), count);
  REQUIRE_OK(records);
  REQUIRE(count >= 1);
  const auto record = fileserver::store::decode_record((*records)[0]);
  REQUIRE_OK(record);
  CHECK(json(record->seq.value) == (*second)["seq"]);
  CHECK(answer->result["last"] == answer->result["head"]);
}

TEST_CASE("R27: reading history needs the right now and then") {
  FileCell cell(content::patient());
  cell.add_user("bob", "a long password of bob");
  const auto mount = cell.mount();
  const auto bob = cell.mount(cell.address("bob", "a long password of bob"));
  const auto client = connect(*bob);
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0600}}));
  const auto hidden = put(*mount, f, "secret");
  REQUIRE_OK(hidden);
  const json then = node_in(*hidden, f)["dv"];
  REQUIRE_OK(put(*mount, f, "open"));
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0666}}));
  const auto now = fetch(*client, f, 4);
  REQUIRE_OK(now);
  CHECK(now->bytes == "open");
  CHECK_FAILS(fetch(*client, f, 6, {{"version", then}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(fetch(*client, f, 6, {{"at", then}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(bob->change("restore", {{"fid", f}, {"version", then}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(bob->change("copy-range", {{"from", f},
                                         {"version", then},
                                         {"from_offset", 0},
                                         {"length", 6},
                                         {"to", make_file(*bob, cell.root(), "g")},
                                         {"to_offset", 0}}),
              ErrorCode::PermissionDenied);
  // Nor by storing nothing upon it.
  CHECK_FAILS(bob->change("store", {{"fid", f}, {"base", then}, {"size", 6}}),
              ErrorCode::PermissionDenied);
  // What was open while it was the present version stays so while the right does.
  const json open = now->result["node"]["dv"];
  REQUIRE_OK(put(*mount, f, "later"));
  const auto past = fetch(*client, f, 4, {{"version", open}});
  REQUIRE_OK(past);
  CHECK(past->bytes == "open");
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0600}}));
  CHECK_FAILS(fetch(*client, f, 4, {{"version", open}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(fetch(*client, f, 4, {{"at", open}}), ErrorCode::PermissionDenied);
}

TEST_CASE(
    "what open allowed stays allowed through the handle, and is not kept of a file that goes") {
  FileCell cell(content::patient());
  cell.add_user("bob", "a long password of bob");
  const auto mount = cell.mount();
  const auto bob = cell.mount(cell.address("bob", "a long password of bob"));
  const auto client = connect(*bob);
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0666}}));
  REQUIRE_OK(put(*mount, f, "open"));
  REQUIRE_OK(bob->call("open", {{"fid", f}, {"handle", 7}, {"write", true}}));
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0600}}));
  CHECK_OK(fetch(*client, f, 4));
  CHECK_OK(put(*bob, f, "by handle"));
  CHECK_FAILS(fetch(*client, f, 4, {{"as", "anyuser"}}), ErrorCode::PermissionDenied);
  REQUIRE_OK(mount->change("unlink", {{"dir", cell.root()}, {"name", "f"}}));
  CHECK_OK(fetch(*client, f, 4));
  const auto gone = put(*bob, f, "kept");
  CHECK_FAILS(gone, ErrorCode::Stale);
  CHECK(gone.error().error_number == ESTALE);
  REQUIRE_OK(bob->call("release", {{"volume", cell.volume()}, {"handles", {7}}}));
  CHECK_FALSE(fetch(*client, f, 4));
  // One without a name is its maker's to fill.
  const auto made = bob->change("create", {{"dir", cell.root()}, {"mode", 0600}, {"handle", 8}});
  REQUIRE_OK(made);
  const json nameless{cell.volume(), (*made)["done"][0]["node"]};
  REQUIRE_OK(put(*bob, nameless, "no name yet"));
  REQUIRE_OK(bob->change("link", {{"fid", nameless}, {"dir", cell.root()}, {"name", "named"}}));
  const auto named = fetch(*client, nameless, 11);
  REQUIRE_OK(named);
  CHECK(named->bytes == "no name yet");
}
