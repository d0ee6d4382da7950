// Who is disabled while he works: a real cell, its KDC, and tickets that are good for hours.

#include "tests/support/eventually.hpp"
#include "tests/support/file_cell.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using common::ErrorCode;
using nlohmann::json;
using test_support::eventually;
using test_support::FileCell;
using test_support::FileMount;

namespace {

constexpr const char* kPassword = "alices long word";

struct DisabledCell : FileCell {
  DisabledCell() : FileCell({.lease = 2000ms, .ask_every = 200ms}) { add_user("alice", kPassword); }

  json make_file(FileMount& mount, const std::string& name) {
    const auto made = mount.change("create", {{"dir", root()}, {"name", name}, {"mode", 0666}});
    REQUIRE_OK(made);
    return {volume(), (*made)["done"][0]["node"]};
  }
};

bool is_promised(FileMount& mount, const json& fid) {
  const auto answer = mount.call("getattr", {{"fids", json::array({fid})}});
  return answer && (*answer)["nodes"][0].contains("p");
}

bool says_disabled(const common::Result<json>& answer) {
  return !answer && answer.error().code == ErrorCode::PermissionDenied &&
         answer.error().message.find("alice has been disabled by an administrator") !=
             std::string::npos;
}

}  // namespace

TEST_CASE("F41: a disabled user's next change is refused, and his mount trusts nothing any more") {
  DisabledCell cell;
  const auto alices = cell.address("alice", kPassword);
  const auto alice = cell.mount(alices);
  const auto admin = cell.mount();
  const json file = cell.make_file(*alice, "a");
  const json change{{"fid", file}, {"mode", 0600}};
  CHECK_OK(alice->change("setattr", change));
  REQUIRE(eventually([&] { return is_promised(*alice, file); }));

  cell.disable_user("alice");
  common::Result<json> refused;
  CHECK(eventually([&] {
    refused = alice->change("setattr", change);
    return !refused;
  }));
  INFO(refused.error().message);
  CHECK(says_disabled(refused));
  CHECK(alice->wait_closed());
  // Nor does he read, or come back: by a ticket that is good for hours.
  CHECK(says_disabled(alice->call("getattr", {{"fids", json::array({file})}})));
  FileMount again(alices);
  CHECK_FAILS(again.open(), ErrorCode::PermissionDenied);
  CHECK(says_disabled(again.change_without_session(
      "mkdir", {{"dir", cell.root()}, {"name", "d"}, {"mode", 0755}})));
  // Whoever waits for what he was promised waits for his lease at most.
  CHECK_OK(admin->change("setattr", {{"fid", file}, {"mode", 0644}}));

  cell.enable_user("alice");
  CHECK(eventually([&] { return again.open().has_value(); }));
  CHECK_OK(again.change("setattr", change));
}

TEST_CASE("F41: without a KDC others are served on, and who was disabled stays out") {
  DisabledCell cell;
  FileMount alice(cell.address("alice", kPassword));  // in no session, which would be over then
  const auto admin = cell.mount();
  const json file = cell.make_file(*admin, "a");
  const auto look = [&] { return alice.call("getattr", {{"fids", json::array({file})}}); };
  REQUIRE_OK(look());
  cell.disable_user("alice");
  REQUIRE(eventually([&] { return says_disabled(look()); }));
  cell.cell().process("kdc").kill();
  // Some questions go unanswered meanwhile.
  for (int i = 0; i < 20; ++i) {
    CHECK_OK(admin->change("setattr", {{"fid", file}, {"mode", 0600 + i % 8}}));
    CHECK(says_disabled(look()));
  }
  // When it is back, it is asked again.
  CHECK_OK(cell.cell().start("kdc"));
  cell.enable_user("alice");
  CHECK(eventually([&] { return look().has_value(); }));
}

TEST_CASE("F41: a server that starts learns of those who were disabled before") {
  DisabledCell cell;
  const auto alices = cell.address("alice", kPassword);
  const auto alice = cell.mount(alices);
  const json file = cell.make_file(*alice, "a");
  const auto mine = cell.address();
  FileMount admin(mine);
  REQUIRE_OK(admin.open());
  cell.cell().process("fileserver").kill();
  cell.disable_user("alice");
  CHECK_OK(cell.cell().start("fileserver"));
  FileMount again(alices);
  CHECK(eventually([&] {
    return says_disabled(again.call("getattr", {{"fids", json::array({file})}}));
  }));
  CHECK_FAILS(alice->resume(), ErrorCode::PermissionDenied);
}
