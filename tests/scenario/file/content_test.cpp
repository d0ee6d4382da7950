// Bytes of files of a real file server, over its protocol.

#include <algorithm>
#include <set>
#include <thread>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "tests/scenario/file/content_client.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using nlohmann::json;
using test_support::FileCell;
using test_support::FileMount;
namespace fileproto = common::fileproto;
namespace rpc = common::rpc;

using content::fetch;
using content::make_file;
using content::node_in;
using content::noise;
using content::put;
using content::stage_write;

namespace {

std::string why(const common::Error& error) {
  const auto detail = fileproto::detail_of(error);
  return detail ? std::to_string(static_cast<int>(detail->why)) : "";
}
std::string text_of(fileproto::FailureWhy reason) {
  return std::to_string(static_cast<int>(reason));
}

}  // namespace

TEST_CASE("what is stored is fetched, by whoever asks next, holes left out") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto other = cell.mount();
  const auto client = other->join();
  REQUIRE_OK(client);
  const json f = make_file(*mount, cell.root(), "f");
  const std::string text = noise(700'000, 1);
  const auto stored = put(*mount, f, text, {{"mtime", 1234567890}});
  REQUIRE_OK(stored);
  CHECK(node_in(*stored, f)["mt"] == 1234567890);
  CHECK(node_in(*stored, f)["was"].is_array());
  auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
  const json version = got->result["node"]["dv"];
  // An edit, a hole and an end.
  const json change{{"fid", f},
                    {"base", version},
                    {"size", 600'000},
                    {"holes", json::array({json::array({131'072, 131'072})})},
                    {"edits", json::array({json::array({10, 5})})}};
  REQUIRE_OK(mount->change("store", change, {.bytes = "HELLO"}));
  std::string expected = text.substr(0, 600'000);
  expected.replace(131'072, 131'072, std::string(131'072, '\0'));
  expected.replace(10, 5, "HELLO");
  got = fetch(**client, f, 600'000);
  REQUIRE_OK(got);
  CHECK(got->bytes == expected);
  CHECK(got->result["ranges"].size() == 2);
  // As it was, and what has changed since.
  got = fetch(**client, f, text.size(), {{"version", version}});
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
  const auto since = other->call(
      "fetch", {{"fid", f}, {"since", version}, {"map", true}, {"ranges", {{0, 700'000}}}});
  REQUIRE_OK(since);
  // By blocks: the edit, the hole, and the block that the new end cuts.
  CHECK((*since)["ranges"] == json::parse("[[0,262144],[524288,75712]]"));
}

TEST_CASE("G3, F67: of two stores to one base the last is the file, and the other is in history") {
  FileCell cell(content::patient());
  const auto a = cell.mount();
  const auto b = cell.mount();
  const json f = make_file(*a, cell.root(), "f");
  const std::string base(300'000, 'o');
  const auto first = put(*a, f, base);
  REQUIRE_OK(first);
  const json version = node_in(*first, f)["dv"];
  // Each writes one end of the file.
  const json args_a{{"fid", f},
                    {"base", version},
                    {"size", base.size()},
                    {"edits", json::array({json::array({0, 10})})}};
  const json args_b{{"fid", f},
                    {"base", version},
                    {"size", base.size()},
                    {"edits", json::array({json::array({299'990, 10})})}};
  const auto stored_a = a->change("store", args_a, {.bytes = std::string(10, 'a')});
  REQUIRE_OK(stored_a);
  const auto stored_b = b->change("store", args_b, {.bytes = std::string(10, 'b')});
  REQUIRE_OK(stored_b);
  REQUIRE(stored_b->contains("done"));
  CHECK((*stored_b)["done"][0]["lost"] == node_in(*stored_a, f)["dv"]);
  const auto client = a->join();
  auto now = fetch(**client, f, base.size());
  REQUIRE_OK(now);
  std::string expected = base;
  expected.replace(299'990, 10, std::string(10, 'b'));
  CHECK(now->bytes == expected);  // never a mixture
  const auto history = a->call("history", {{"fid", f}, {"limit", 100}});
  REQUIRE_OK(history);
  CHECK((*history)["versions"].size() >= 3);
  auto lost = fetch(**client, f, base.size(), {{"version", (*stored_b)["done"][0]["lost"]}});
  REQUIRE_OK(lost);
  CHECK(lost->bytes.substr(0, 10) == "aaaaaaaaaa");
  // The loser is had again.
  REQUIRE_OK(a->change("restore", {{"fid", f}, {"version", (*stored_b)["done"][0]["lost"]}}));
  now = fetch(**client, f, base.size());
  CHECK(now->bytes == lost->bytes);
}

TEST_CASE("where the volume says so, a store on another base is refused, and says what is there") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  REQUIRE_OK(mount->call("volume-policy",
                         {{"volume", cell.volume()}, {"policy", {{"write_conflict", "refuse"}}}}));
  const json f = make_file(*mount, cell.root(), "f");
  const auto first = put(*mount, f, "one");
  REQUIRE_OK(first);
  const json version = node_in(*first, f)["dv"];
  const auto second = put(*mount, f, "two", {{"base", version}});
  REQUIRE_OK(second);
  const auto third = put(*mount, f, "three", {{"base", version}});
  CHECK_FAILS(third, ErrorCode::Conflict);
  CHECK(why(third.error()) == text_of(fileproto::FailureWhy::Base));
  const auto detail = fileproto::detail_of(third.error());
  REQUIRE(detail->node.has_value());
  CHECK(json(detail->node->data_version.value) == node_in(*second, f)["dv"]);
}

TEST_CASE("G9, G7: what many append is all there, each once, also when it is said again") {
  FileCell cell(content::patient());
  constexpr int kMounts = 3;
  constexpr int kLines = 40;
  std::vector<std::unique_ptr<FileMount>> mounts;
  for (int i = 0; i < kMounts; ++i)
    mounts.push_back(cell.mount());
  const json f = make_file(*mounts[0], cell.root(), "log");
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  std::vector<std::set<std::uint64_t>> offsets(kMounts);
  for (int m = 0; m < kMounts; ++m) {
    threads.emplace_back([&, m] {
      FileMount& mount = *mounts[static_cast<std::size_t>(m)];
      for (int i = 0; i < kLines; ++i) {
        // Some lines are longer than what fits behind the tree.
        const std::string line = fmt::format("{} {} {}\n", m, i, std::string(i % 7 * 900, 'x'));
        test_support::ChangeCall how;
        how.number = mount.next_number();
        how.bytes = line;
        const json args{{"fid", f}, {"bytes", line.size()}};
        const auto done = mount.change("append", args, how);
        const auto again = mount.change("append", args, how);
        if (!done || !again || !again->value("replayed", false) ||
            (*done)["done"][0]["offset"] != (*again)["done"][0]["offset"]) {
          ++failed;
          continue;
        }
        offsets[static_cast<std::size_t>(m)].insert(
            (*done)["done"][0]["offset"].get<std::uint64_t>());
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(failed == 0);
  const auto client = mounts[0]->join();
  const auto attributes = mounts[0]->call("getattr", {{"fids", json::array({f})}});
  REQUIRE_OK(attributes);
  const auto size = (*attributes)["nodes"][0]["s"].get<std::uint64_t>();
  const auto all = fetch(**client, f, size);
  REQUIRE_OK(all);
  std::set<std::string> seen;
  std::size_t at = 0;
  while (at < all->bytes.size()) {
    const std::size_t end = all->bytes.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = all->bytes.substr(at, end - at);
    const std::string key = line.substr(0, line.find(' ', line.find(' ') + 1));
    CHECK_MESSAGE(seen.insert(key).second, "twice: ", key);
    const int m = key[0] - '0';
    REQUIRE(m >= 0);
    REQUIRE(m < kMounts);
    CHECK(offsets[static_cast<std::size_t>(m)].contains(at));
    at = end + 1;
  }
  CHECK(seen.size() == kMounts * kLines);
}

TEST_CASE("a large file is staged, resumed after a restart, and stored in one commit") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  auto client = mount->join();
  REQUIRE_OK(client);
  const std::string text = noise(20'000'000, 3);
  const std::string_view whole = text;
  const auto opened = mount->call("stage-open", {{"volume", cell.volume()}, {"size", text.size()}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  constexpr std::size_t kPiece = 8 << 20;
  REQUIRE_OK(stage_write(**client, staging, {kPiece, whole.substr(kPiece, kPiece)}));
  CHECK_FAILS(stage_write(**client, staging, {0, whole.substr(0, kPiece), true}),
              ErrorCode::Corrupt);
  cell.restart();
  REQUIRE_OK(mount->resume());
  client = mount->join();
  REQUIRE_OK(client);
  const auto state = mount->call("stage-state", {{"staging", staging}});
  REQUIRE_OK(state);
  CHECK((*state)["ranges"] == json::array({json::array({kPiece, kPiece})}));
  // What has not come cannot be stored.
  const json f = make_file(*mount, cell.root(), "large");
  const json store{{"fid", f},
                   {"size", text.size()},
                   {"staging", staging[1]},
                   {"edits", json::array({json::array({0, text.size(), 0})})}};
  CHECK_FAILS(mount->change("store", store), ErrorCode::Conflict);
  REQUIRE_OK(stage_write(**client, staging, {0, whole.substr(0, kPiece)}));
  REQUIRE_OK(stage_write(**client, staging, {2 * kPiece, whole.substr(2 * kPiece)}));
  // Another mount can neither see nor use it.
  const auto other = cell.mount();
  CHECK_FAILS(other->call("stage-state", {{"staging", staging}}), ErrorCode::NotFound);
  CHECK_FAILS(other->change("store", store), ErrorCode::NotFound);
  const auto done = mount->change("store", store);
  REQUIRE_OK(done);
  CHECK_FAILS(mount->call("stage-state", {{"staging", staging}}), ErrorCode::NotFound);
  const auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE(
    "F54: pieces may begin and end anywhere, and each is what its hash says or is not taken") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = mount->join();
  REQUIRE_OK(client);
  std::string text = noise(5'000'001, 5);
  std::fill(text.begin() + 1'200'000, text.begin() + 1'700'000, '\0');
  std::fill(text.end() - 200'000, text.end(), '\0');
  const auto opened = mount->call("stage-open", {{"volume", cell.volume()}, {"size", text.size()}});
  REQUIRE_OK(opened);
  const json staging = (*opened)["staging"];
  std::vector<std::pair<std::size_t, std::size_t>> pieces;
  std::size_t begin = 0;
  for (const std::size_t length :
       {1UL, 131'071UL, 131'073UL, 1'048'577UL, 300'000UL, 2'000'000UL}) {
    pieces.emplace_back(begin, length);
    begin += length;
  }
  pieces.emplace_back(begin, text.size() - begin);
  std::reverse(pieces.begin(), pieces.end());
  for (const auto& [offset, length] : pieces) {
    const std::string_view bytes = std::string_view(text).substr(offset, length);
    CHECK_FAILS(stage_write(**client, staging, {offset, bytes, true}), ErrorCode::Corrupt);
    CHECK_OK(stage_write(**client, staging, {offset, bytes}));
  }
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(mount->change("store", {{"fid", f},
                                     {"size", text.size()},
                                     {"staging", staging[1]},
                                     {"edits", json::array({json::array({0, text.size(), 0})})}}));
  const auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
}

TEST_CASE("a file is cut, grown, punched and copied without its bytes being sent") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = mount->join();
  const json f = make_file(*mount, cell.root(), "f");
  const json g = make_file(*mount, cell.root(), "g");
  std::string text = noise(500'000, 4);
  REQUIRE_OK(put(*mount, f, text));
  REQUIRE_OK(mount->change(
      "allocate", {{"fid", f}, {"offset", 131'072}, {"length", 131'072}, {"mode", "punch"}}));
  text.replace(131'072, 131'072, std::string(131'072, '\0'));
  REQUIRE_OK(mount->change(
      "allocate", {{"fid", f}, {"offset", 490'000}, {"length", 30'000}, {"mode", "zero"}}));
  text.replace(490'000, 10'000, std::string(30'000, '\0'));
  REQUIRE_OK(mount->change(
      "allocate", {{"fid", f}, {"offset", 0}, {"length", 600'000}, {"mode", "keep-size"}}));
  REQUIRE_OK(mount->change("allocate", {{"fid", f}, {"offset", 0}, {"length", 600'000}}));
  text.resize(600'000);
  auto got = fetch(**client, f, text.size());
  REQUIRE_OK(got);
  CHECK(got->bytes == text);
  const auto copied = mount->change(
      "copy-range",
      {{"from", f}, {"from_offset", 100}, {"length", 10'000'000}, {"to", g}, {"to_offset", 50}});
  REQUIRE_OK(copied);
  CHECK((*copied)["done"][0]["length"] == text.size() - 100);
  got = fetch(**client, g, text.size() - 50);
  REQUIRE_OK(got);
  CHECK(got->bytes == std::string(50, '\0') + text.substr(100));
}

TEST_CASE("small files come in bulk: whole, or as the caller has them, or not at all") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto client = mount->join();
  std::vector<json> files;
  for (int i = 0; i < 200; ++i) {
    files.push_back(make_file(*mount, cell.root(), "f" + std::to_string(i)));
    if (i % 50 != 7)
      REQUIRE_OK(put(*mount, files.back(), noise(static_cast<std::size_t>(i) * 40, 1 + i)));
    else
      REQUIRE_OK(put(*mount, files.back(), noise(200'000, 1)));
  }
  const auto attributes = mount->call("getattr", {{"fids", json::array({files[3]})}});
  REQUIRE_OK(attributes);
  json nodes = json::array();
  for (std::size_t i = 0; i < files.size(); ++i)
    nodes.push_back({files[i], i == 3 ? (*attributes)["nodes"][0]["dv"] : json(0)});
  nodes.push_back({json::array({cell.volume(), 999'999}), 0});
  nodes.push_back({cell.root(), 0});
  rpc::Request request;
  request.service = "file";
  request.operation = "bulk";
  request.args = json{{"nodes", nodes}}.dump();
  const auto answer = (*client)->call(request).answer;
  REQUIRE_OK(answer);
  const auto count = answer->result()["count"].get<std::uint32_t>();
  REQUIRE(count == nodes.size());
  const auto decoded = fileproto::decode_bulk(answer->bytes, count);
  REQUIRE_OK(decoded);
  using fileproto::BulkKind;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const fileproto::BulkFile& file = (*decoded)[i];
    if (i == 3) {
      CHECK(file.kind == BulkKind::Unchanged);
    } else if (i % 50 == 7) {
      CHECK(file.kind == BulkKind::NotSmall);
    } else {
      CHECK(file.kind == BulkKind::Whole);
      CHECK(common::as_text(file.bytes) == noise(i * 40, 1 + i));
    }
  }
  CHECK((*decoded)[files.size()].kind == BulkKind::Refused);
  CHECK((*decoded)[files.size() + 1].kind == BulkKind::NotSmall);
}

TEST_CASE("a store that was answered is answered so again after a restart, and done once") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const json f = make_file(*mount, cell.root(), "f");
  test_support::ChangeCall how;
  how.number = mount->next_number();
  how.bytes = "first";
  const json args{{"fid", f}, {"size", 5}, {"edits", json::array({json::array({0, 5})})}};
  const auto done = mount->change("store", args, how);
  REQUIRE_OK(done);
  const auto later = put(*mount, f, "second");
  REQUIRE_OK(later);
  cell.restart();
  REQUIRE_OK(mount->resume());
  const auto again = mount->change("store", args, how);
  REQUIRE_OK(again);
  CHECK((*again)["replayed"] == true);
  CHECK((*again)["seq"] == (*done)["seq"]);
  const auto client = mount->join();
  const auto got = fetch(**client, f, 6);
  REQUIRE_OK(got);
  CHECK(got->bytes == "second");
}

TEST_CASE("G4: the byte that crosses the quota is refused, and the file stays as it was") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const json f = make_file(*mount, cell.root(), "f");
  REQUIRE_OK(put(*mount, f, std::string(4000, 'x')));
  const auto statfs = mount->call("statfs", {{"volume", cell.volume()}});
  REQUIRE_OK(statfs);
  REQUIRE_OK(mount->change_without_session("volume-quota",
                                           {{"volume", cell.volume()}, {"bytes", 10'000}}));
  CHECK_OK(put(*mount, f, std::string(10'000, 'y')));
  const auto over = put(*mount, f, std::string(10'001, 'z'));
  CHECK_FAILS(over, ErrorCode::NoSpace);
  CHECK(over.error().error_number == EDQUOT);
  CHECK_FAILS(mount->change("append", {{"fid", f}, {"bytes", 1}}, {.bytes = "z"}),
              ErrorCode::NoSpace);
  CHECK_FAILS(mount->call("stage-open", {{"volume", cell.volume()}, {"size", 2'000'000}}),
              ErrorCode::NoSpace);
  const auto client = mount->join();
  const auto got = fetch(**client, f, 10'000);
  REQUIRE_OK(got);
  CHECK(got->bytes == std::string(10'000, 'y'));
}

TEST_CASE("R21: what was being released when the server was killed is let go after it") {
  auto how = content::patient();
  how.fileserver_failpoints = "operations.release.before_unpin=kill@1";
  FileCell cell(how);
  const auto mount = cell.mount();
  json files;
  json versions;
  for (int handle : {1, 2}) {
    const auto made =
        mount->change("create", {{"dir", cell.root()}, {"mode", 0600}, {"handle", handle}});
    REQUIRE_OK(made);
    files.push_back({cell.volume(), (*made)["done"][0]["node"]});
    versions.push_back((*made)["seq"]);
    REQUIRE_OK(put(*mount, files.back(), "never named"));
  }
  CHECK_FALSE(mount->call("release", {{"volume", cell.volume()}, {"handles", {2}}}));
  REQUIRE_OK(cell.cell().process("fileserver").wait());
  REQUIRE_OK(cell.cell().start("fileserver"));
  REQUIRE_OK(mount->resume());
  const json open = json::array({json::array({1, files[0], versions[0], true})});
  const auto again = mount->call("reopen", {{"handles", open}, {"rest", cell.volume()}});
  REQUIRE_OK(again);
  CHECK_FALSE(again->contains("lost"));
  // Nothing holds the other any more: it has no name.
  const auto gone = mount->call(
      "reopen", {{"handles", json::array({json::array({2, files[1], versions[1], true})})}});
  REQUIRE_OK(gone);
  CHECK((*gone)["lost"].size() == 1);
  const auto client = mount->join();
  REQUIRE_OK(client);
  const auto got = fetch(**client, files[0], 16);
  REQUIRE_OK(got);
  CHECK(got->bytes.substr(0, 11) == "never named");
}

TEST_CASE("G2, F66: a server that is killed loses no open file, no handle and no answered byte") {
  FileCell cell(content::patient());
  const auto mount = cell.mount();
  const auto version_of = [](const json& answer) { return answer["seq"]; };
  const json make{{"dir", cell.root()}, {"mode", 0400}, {"handle", 1}};
  const auto scratch = mount->change("create", make);
  REQUIRE_OK(scratch);
  const json nameless = {cell.volume(), (*scratch)["done"][0]["node"]};
  REQUIRE_OK(put(*mount, nameless, "never named"));
  const json unlinked = make_file(*mount, cell.root(), "unlinked");
  REQUIRE_OK(put(*mount, unlinked, "no name any more"));
  const auto opened = mount->call("open", {{"fid", unlinked}, {"handle", 2}});
  REQUIRE_OK(opened);
  REQUIRE_OK(mount->change("unlink", {{"dir", cell.root()}, {"name", "unlinked"}}));
  const json named = make_file(*mount, cell.root(), "named");
  REQUIRE_OK(put(*mount, named, "before"));
  const auto old = mount->call("open", {{"fid", named}, {"handle", 3}, {"write", true}});
  REQUIRE_OK(old);
  REQUIRE_OK(put(*mount, named, "after"));

  const json handles = {{1, nameless, version_of(*scratch), true},
                        {2, unlinked, (*opened)["node"]["v"], false},
                        {3, named, (*old)["node"]["v"], true}};
  for (int life = 0; life < 2; ++life) {
    cell.cell().process("fileserver").kill();
    REQUIRE_OK(cell.cell().start("fileserver"));
    REQUIRE_OK(mount->resume());
    const auto again = mount->call("reopen", {{"handles", handles}});
    REQUIRE_OK(again);
    CHECK_FALSE(again->contains("lost"));
    const auto client = mount->join();
    REQUIRE_OK(client);
    const auto bytes = [&](const json& fid, const json& more = json::object()) {
      const auto got = fetch(**client, fid, 16, more);
      REQUIRE_OK(got);
      return got->bytes;
    };
    CHECK(bytes(nameless).substr(0, 11) == "never named");
    CHECK(bytes(unlinked) == "no name any more");
    CHECK(bytes(named).substr(0, 5) == "after");
    CHECK(bytes(named, {{"version", (*old)["node"]["v"]}}).substr(0, 6) == "before");
  }
  REQUIRE_OK(put(*mount, nameless, "never named, and longer"));
  CHECK_OK(mount->call("release", {{"volume", cell.volume()}, {"handles", {1, 2, 3}}}));
  const json look{{"fids", json::array({nameless, unlinked})}};
  const auto gone = mount->call("getattr", look);
  REQUIRE_OK(gone);
  CHECK((*gone)["nodes"][0].contains("error"));
  CHECK((*gone)["nodes"][1].contains("error"));
}
