#include "fixture.hpp"

using namespace fileclient_test;
using common::Error;

TEST_CASE("F22, F37: a change whose answer was lost is done once, and answered from the record") {
  Files files;
  const auto before = files.server.commits();
  files.server.fail_next("mkdir", {ErrorCode::OutcomeUnknown, "the answer was lost"}, true);
  files.server.fail_next("mkdir", {ErrorCode::Unavailable, "restarting"});
  files.mkdir("/", "once");
  CHECK(files.server.calls("mkdir") == 3);
  CHECK(files.server.commits() == before + 1);
}

TEST_CASE("a failure that stands is not repeated") {
  Files files;
  files.mkdir("/", "d");
  const auto calls = files.server.calls("mkdir");
  common::fileproto::Mkdir again;
  again.made = {files.find("/").fid, "d", 0755, {}};
  const auto result = files.client->change(again);
  CHECK_FAILS(result, ErrorCode::AlreadyExists);
  CHECK(files.server.calls("mkdir") == calls + 1);
}

TEST_CASE("G11: a call ends with its deadline, and a change then says that nobody knows") {
  Files files;
  const Found root = files.find("/");
  for (int i = 0; i < 100; ++i)
    files.server.fail_next("mkdir", {ErrorCode::OutcomeUnknown, "lost"}, true);
  common::fileproto::Mkdir mkdir;
  mkdir.made = {root.fid, "d", 0755, {}};
  CallOptions options;
  options.deadline = common::rpc::now() + std::chrono::milliseconds(300);
  const auto result = files.client->change(mkdir, options);
  CHECK_FAILS(result, ErrorCode::OutcomeUnknown);
  CHECK(result.error().message.find("look before you do it again") != std::string::npos);
}

TEST_CASE(
    "R28: a refusal without a look at the records does not settle what an earlier attempt did") {
  Files files;
  const Found root = files.find("/");
  files.server.fail_next("mkdir", {ErrorCode::OutcomeUnknown, "lost"}, true);
  for (int i = 0; i < 100; ++i)
    files.server.fail_next("mkdir", {ErrorCode::Unavailable, "starting"});
  common::fileproto::Mkdir mkdir;
  mkdir.made = {root.fid, "d", 0755, {}};
  CallOptions options;
  options.deadline = common::rpc::now() + std::chrono::milliseconds(300);
  CHECK_FAILS(files.client->change(mkdir, options), ErrorCode::OutcomeUnknown);
}

TEST_CASE("a cancelled call ends at once") {
  Files files;
  const Found root = files.find("/");
  common::rpc::Cancellation cancellation;
  cancellation.cancel();
  CallOptions options;
  options.cancellation = &cancellation;
  const auto result = Walker(*files.client).find(Files::path("/"), Follow::Last, options);
  CHECK_FAILS(result, ErrorCode::Cancelled);
}

TEST_CASE("volumes are asked for once, and again when one is not known") {
  Files files;
  static_cast<void>(files.find("/"));
  static_cast<void>(files.find("data:/"));
  CHECK(files.server.calls("volumes") == 1);
  const auto all = files.client->volumes().all({});
  REQUIRE_OK(all);
  REQUIRE(all->size() == 2);
  CHECK((*all)[0].entry.name == "data");
  CHECK((*all)[1].is_root());
  CHECK(files.server.calls("volumes") == 2);
}

TEST_CASE("a server that is away is named") {
  Files files;
  files.server.stop();
  CallOptions options;
  options.deadline = common::rpc::now() + std::chrono::milliseconds(300);
  const auto result = Walker(*files.client).find(Files::path("/"), Follow::Last, options);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().message.find("file server fs1") != std::string::npos);
}
