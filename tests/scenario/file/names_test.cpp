// Names, attributes and volumes of a real file server, over its protocol.

#include <functional>
#include <future>

#include "tests/support/file_cell.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using nlohmann::json;
using test_support::FileCell;
using test_support::FileMount;

namespace {

json lookup(FileMount& mount, const json& directory, const std::string& name) {
  const auto found = mount.call("lookup", {{"dir", directory}, {"name", name}});
  REQUIRE_OK(found);
  return found->value("node", json());
}

json made(const common::Result<json>& answer, const json& directory) {
  REQUIRE_OK(answer);
  return {directory[0], (*answer)["done"][0]["node"]};
}

}  // namespace

TEST_CASE("a tree is made, looked at, moved about and removed") {
  FileCell cell;
  const auto mount = cell.mount();
  const json root = cell.root();
  const json d = made(mount->change("mkdir", {{"dir", root}, {"name", "d"}, {"mode", 0755}}), root);
  const json f = made(mount->change("create", {{"dir", d}, {"name", "f"}, {"mode", 0644}}), d);
  made(mount->change("symlink", {{"dir", d}, {"name", "l"}, {"mode", 0777}, {"target", "f"}}), d);
  const auto walked = mount->call("walk", {{"from", root}, {"names", {"d", "f"}}});
  REQUIRE_OK(walked);
  REQUIRE((*walked)["steps"].size() == 2);
  CHECK((*walked)["steps"][1]["n"] == f[1]);
  const auto list = mount->call("list", {{"dir", d}, {"limit", 1000}});
  REQUIRE_OK(list);
  CHECK((*list)["entries"].size() == 2);
  const auto full = mount->change("rmdir", {{"dir", root}, {"name", "d"}});
  REQUIRE_FALSE(full);
  CHECK(full.error().error_number == ENOTEMPTY);
  CHECK_OK(mount->change("link", {{"fid", f}, {"dir", root}, {"name", "g"}}));
  CHECK(lookup(*mount, root, "g")["l"] == 2);
  CHECK_OK(mount->change("rename", {{"dir", d}, {"name", "f"}, {"to", root}, {"to_name", "h"}}));
  CHECK(lookup(*mount, d, "f").is_null());
  CHECK_FAILS(
      mount->change(
          "rename",
          {{"dir", root}, {"name", "h"}, {"to", d}, {"to_name", "l"}, {"mode", "noreplace"}}),
      ErrorCode::AlreadyExists);
  CHECK_OK(mount->change(
      "rename", {{"dir", root}, {"name", "h"}, {"to", d}, {"to_name", "l"}, {"mode", "exchange"}}));
  CHECK(lookup(*mount, root, "h")["k"] == "l");
  CHECK_OK(mount->change("unlink", {{"dir", root}, {"name", "h"}}));
  CHECK_OK(mount->change("unlink", {{"dir", root}, {"name", "g"}}));
  CHECK(lookup(*mount, d, "l")["l"] == 1);
  CHECK_OK(mount->change("unlink", {{"dir", d}, {"name", "l"}}));
  CHECK_OK(mount->change("rmdir", {{"dir", root}, {"name", "d"}}));
  CHECK_FAILS(mount->change("mkdir", {{"dir", d}, {"name", "x"}, {"mode", 0755}}),
              ErrorCode::NotFound);
}

TEST_CASE("F44, F61: names that are none are refused, all others are kept byte for byte") {
  FileCell cell;
  const auto mount = cell.mount();
  const auto make = [&](const json& name) {
    return mount->change("mkdir", {{"dir", cell.root()}, {"name", name}, {"mode", 0755}});
  };
  for (const char* bad : {"", ".", "..", "a/b", "/"})
    CHECK_FALSE(make(bad));
  CHECK_FALSE(make(std::string("a\0b", 3)));
  CHECK_FALSE(make(std::string(256, 'x')));
  CHECK_OK(make(std::string(255, 'x')));
  for (const char* good : {" ", "a\nb", "\x01", "CASE", "case", "...", "-rf", "a b "})
    CHECK_OK(make(good));
  CHECK_OK(make(json{{"b64", "/w=="}}));  // one byte that is no UTF-8
  const auto all = mount->call("list", {{"dir", cell.root()}, {"limit", 1000}});
  REQUIRE_OK(all);
  CHECK((*all)["entries"].size() == 10);
}

TEST_CASE("a batch is done whole or not at all") {
  FileCell cell;
  const auto mount = cell.mount();
  const auto ids = mount->call("node-ids", {{"volume", cell.volume()}, {"count", 10}});
  REQUIRE_OK(ids);
  const std::uint64_t first = (*ids)["first"];
  const json dir{cell.volume(), first};
  const json steps = json::array(
      {{{"op", "mkdir"}, {"dir", cell.root()}, {"name", "d"}, {"mode", 0755}, {"node", first}},
       {{"op", "create"}, {"dir", dir}, {"name", "f"}, {"mode", 0644}, {"node", first + 1}}});
  json broken = steps;
  broken.push_back({{"op", "rmdir"}, {"dir", cell.root()}, {"name", "missing"}});
  CHECK_FAILS(mount->change("batch", {{"do", broken}}), ErrorCode::NotFound);
  CHECK(lookup(*mount, cell.root(), "d").is_null());
  CHECK_OK(mount->change("batch", {{"do", steps}}));
  CHECK(lookup(*mount, dir, "f")["n"] == first + 1);
  // An id of nobody's range is not taken.
  CHECK_FAILS(mount->change(
                  "mkdir",
                  {{"dir", cell.root()}, {"name", "e"}, {"mode", 0755}, {"node", first + 100'000}}),
              ErrorCode::PermissionDenied);
}

TEST_CASE("a condition that does not hold is a conflict, and says what is there") {
  FileCell cell;
  const auto mount = cell.mount();
  const json f = made(
      mount->change("create", {{"dir", cell.root()}, {"name", "f"}, {"mode", 0644}}), cell.root());
  const json seen = lookup(*mount, cell.root(), "f");
  REQUIRE_OK(mount->change("setattr", {{"fid", f}, {"mode", 0600}}));
  const auto refused =
      mount->change("setattr", {{"fid", f},
                                {"mode", 0640},
                                {"if", json::array({{{"version", json::array({f, seen["v"]})}}})}});
  CHECK_FAILS(refused, ErrorCode::Conflict);
  CHECK(json::parse(refused.error().detail)["condition"] == 0);
  CHECK(lookup(*mount, cell.root(), "f")["m"] == 0600);
}

TEST_CASE("volumes are made, placed and deleted by administrators only") {
  FileCell cell;
  cell.add_user("alice", "correct horse battery staple too");
  FileMount admin(cell.address());
  FileMount alice(cell.address("alice", "correct horse battery staple too"));
  const json wanted{{"name", "more"}, {"policy", json::object()}};
  CHECK_FAILS(alice.call("volume-create", wanted), ErrorCode::PermissionDenied);
  const auto more = admin.call("volume-create", wanted);
  REQUIRE_OK(more);
  const auto mount = cell.mount();
  const json d = made(mount->change("mkdir", {{"dir", cell.root()}, {"name", "d"}, {"mode", 0755}}),
                      cell.root());
  const json place{{"name", "more"}, {"dir", d}};
  CHECK_FAILS(alice.change_without_session("volume-attach", place), ErrorCode::PermissionDenied);
  REQUIRE(lookup(*mount, cell.root(), "d")["p"] == 1);
  CHECK_OK(admin.change_without_session("volume-attach", place));
  // Who was promised the directory was told of it.
  CHECK_OK(mount->wait_break());
  CHECK(lookup(*mount, cell.root(), "d")["vol"] == (*more)["volume"]);
  const auto covered = mount->change("rmdir", {{"dir", cell.root()}, {"name", "d"}});
  CHECK_FAILS(covered, ErrorCode::Busy);
  CHECK(covered.error().error_number == EBUSY);
  const auto all = alice.call("volumes");
  REQUIRE_OK(all);
  CHECK((*all)["volumes"].size() == 2);
  CHECK_FAILS(alice.call("volume-delete", {{"name", "more"}}), ErrorCode::PermissionDenied);
  // Where it can be walked into it is not deleted.
  CHECK_FAILS(admin.call("volume-delete", {{"name", "more"}}), ErrorCode::Busy);
  CHECK_OK(admin.change_without_session("volume-detach", {{"name", "more"}}));
  CHECK_FALSE(lookup(*mount, cell.root(), "d").contains("vol"));
  CHECK_OK(admin.call("volume-delete", {{"name", "more"}}));
  CHECK_FAILS(admin.call("volume-show", {{"name", "more"}}), ErrorCode::NotFound);
  // Files of another are his.
  const json root{cell.volume(), 1};
  const json f =
      made(mount->change("create", {{"dir", root}, {"name", "f"}, {"mode", 0600}}), root);
  const auto his = cell.mount(cell.address("alice", "correct horse battery staple too"));
  CHECK_FAILS(his->change("setattr", {{"fid", f}, {"mode", 0666}}), ErrorCode::PermissionDenied);
}

TEST_CASE(
    "attributes that are asked for over and over are the newest, for those who may know them") {
  FileCell cell;
  cell.add_user("alice", "correct horse battery staple too");
  const auto admin = cell.mount();
  const json root = cell.root();
  const json d = made(admin->change("mkdir", {{"dir", root}, {"name", "d"}, {"mode", 0755}}), root);
  const json f = made(admin->change("create", {{"dir", d}, {"name", "f"}, {"mode", 0644}}), d);
  const json g =
      made(admin->change("create", {{"dir", root}, {"name", "g"}, {"mode", 0644}}), root);
  FileMount alice(cell.address("alice", "correct horse battery staple too"));
  // Whatever is answered must be so the first time and when the answer may come from memory.
  const auto ask = [&](const std::function<void(const json&)>& check) {
    for (int time = 0; time < 3; ++time) {
      const auto answer = alice.call("getattr", {{"fids", json::array({g, f})}});
      REQUIRE_OK(answer);
      REQUIRE((*answer)["nodes"].size() == 2);
      CHECK((*answer)["nodes"][0]["n"] == g[1]);
      check((*answer)["nodes"][1]);
    }
  };
  for (const int mode : {0600, 0640, 0604}) {
    CHECK_OK(admin->change("setattr", {{"fid", f}, {"mode", mode}}));
    ask([&](const json& node) { CHECK(node["m"] == mode); });
  }
  // The way to it is closed, and opened.
  CHECK_OK(admin->change("setattr", {{"fid", d}, {"mode", 0700}}));
  ask([](const json& node) { CHECK(node["error"]["errno"] == "ENOENT"); });
  CHECK_OK(admin->change("setattr", {{"fid", d}, {"mode", 0711}}));
  ask([&](const json& node) { CHECK(node["n"] == f[1]); });
  // A list of the directory governs it.
  const json everybody = json::array({{{"who", "anyuser"}, {"rights", "rl"}}});
  CHECK_OK(admin->change("set-acl", {{"fid", d}, {"entries", everybody}}));
  ask([](const json& node) { CHECK(node["acl"] == 1); });
  CHECK_OK(admin->change("link", {{"fid", g}, {"dir", root}, {"name", "h"}}));
  ask([](const json& node) { CHECK(node["acl"] == 1); });
  CHECK_OK(admin->change("unlink", {{"dir", d}, {"name", "f"}}));
  ask([](const json& node) { CHECK(node["error"]["errno"] == "ENOENT"); });
}

TEST_CASE("F62: a tree thousands of directories deep is made, walked by number and removed") {
  FileCell cell;
  const auto mount = cell.mount();
  constexpr std::uint64_t kDeep = 4'000;
  constexpr std::uint64_t kAtOnce = 500;
  const auto ids = mount->call("node-ids", {{"volume", cell.volume()}, {"count", kDeep}});
  REQUIRE_OK(ids);
  const std::uint64_t first = (*ids)["first"];
  const auto directory = [&](std::uint64_t level) {
    return level == 0 ? cell.root() : json{cell.volume(), first + level - 1};
  };
  for (std::uint64_t level = 0; level < kDeep; level += kAtOnce) {
    json steps = json::array();
    for (std::uint64_t i = level; i < level + kAtOnce; ++i)
      steps.push_back({{"op", "mkdir"},
                       {"dir", directory(i)},
                       {"name", "d"},
                       {"mode", 0755},
                       {"node", first + i}});
    REQUIRE_OK(mount->change("batch", {{"do", steps}}));
  }
  const json deepest = directory(kDeep);
  const auto found = mount->call("getattr", {{"fids", json::array({deepest})}});
  REQUIRE_OK(found);
  CHECK((*found)["nodes"][0]["n"] == deepest[1]);
  for (std::uint64_t level = kDeep; level > 0; level -= kAtOnce) {
    json steps = json::array();
    for (std::uint64_t i = level; i > level - kAtOnce; --i)
      steps.push_back({{"op", "rmdir"}, {"dir", directory(i - 1)}, {"name", "d"}});
    REQUIRE_OK(mount->change("batch", {{"do", steps}}));
  }
  CHECK(lookup(*mount, cell.root(), "d").is_null());
}

TEST_CASE("F63: a large directory is listed in pages that stay in place while it changes") {
  FileCell cell;
  const auto mount = cell.mount();
  constexpr int kFiles = 5'000;
  for (int i = 0; i < kFiles; i += 1'000) {
    json steps = json::array();
    for (int k = i; k < i + 1'000; ++k)
      steps.push_back({{"op", "mknod"},
                       {"dir", cell.root()},
                       {"name", fmt::format("{:06}", k)},
                       {"mode", 0644},
                       {"kind", "p"}});
    REQUIRE_OK(mount->change("batch", {{"do", steps}}));
  }
  std::vector<std::string> names;
  json args{{"dir", cell.root()}, {"limit", 700}};
  for (int page = 0;; ++page) {
    const auto some = mount->call("list", args);
    REQUIRE_OK(some);
    for (const auto& entry : (*some)["entries"])
      names.push_back(entry["name"]);
    if (!some->contains("next"))
      break;
    args["after"] = (*some)["next"];
    // Names before and behind come and go.
    REQUIRE_OK(
        mount->change("unlink", {{"dir", cell.root()}, {"name", fmt::format("{:06}", page)}}));
    REQUIRE_OK(mount->change(
        "mkdir", {{"dir", cell.root()}, {"name", fmt::format("0000x{}", page)}, {"mode", 0755}}));
  }
  CHECK(names.size() == kFiles);
  CHECK(std::is_sorted(names.begin(), names.end()));
}

TEST_CASE("F64: directories have one name, files as many as are counted") {
  FileCell cell;
  const auto mount = cell.mount();
  const json root = cell.root();
  const json d = made(mount->change("mkdir", {{"dir", root}, {"name", "d"}, {"mode", 0755}}), root);
  const auto refused = mount->change("link", {{"fid", d}, {"dir", root}, {"name", "e"}});
  CHECK_FAILS(refused, ErrorCode::PermissionDenied);
  CHECK(refused.error().error_number == EPERM);
  const json f =
      made(mount->change("mknod", {{"dir", d}, {"name", "f"}, {"mode", 0644}, {"kind", "p"}}), d);
  for (int i = 0; i < 10; ++i)
    REQUIRE_OK(
        mount->change("link", {{"fid", f}, {"dir", root}, {"name", "f" + std::to_string(i)}}));
  CHECK(lookup(*mount, d, "f")["l"] == 11);
  REQUIRE_OK(mount->change("unlink", {{"dir", d}, {"name", "f"}}));
  CHECK(lookup(*mount, root, "f3")["l"] == 10);
}

TEST_CASE("F65: of two renames that would make a circle together, one is refused") {
  FileCell cell;
  const auto one = cell.mount();
  const auto two = cell.mount();
  const json root = cell.root();
  for (int i = 0; i < 10; ++i) {
    const std::string a = "a" + std::to_string(i);
    const std::string b = "b" + std::to_string(i);
    const json a_fid =
        made(one->change("mkdir", {{"dir", root}, {"name", a}, {"mode", 0777}}), root);
    const json b_fid =
        made(one->change("mkdir", {{"dir", root}, {"name", b}, {"mode", 0777}}), root);
    auto first = std::async(std::launch::async, [&] {
      return one->change("rename", {{"dir", root}, {"name", a}, {"to", b_fid}, {"to_name", a}});
    });
    auto second = std::async(std::launch::async, [&] {
      return two->change("rename", {{"dir", root}, {"name", b}, {"to", a_fid}, {"to_name", b}});
    });
    const bool first_done = first.get().has_value();
    const bool second_done = second.get().has_value();
    CHECK(first_done != second_done);
    // Whichever it was, both can be reached.
    const auto found = one->call("getattr", {{"fids", json::array({a_fid, b_fid})}});
    REQUIRE_OK(found);
    CHECK((*found)["nodes"][0].contains("n"));
    CHECK((*found)["nodes"][1].contains("n"));
  }
}
