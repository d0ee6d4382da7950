// Bytes of files, where it matters that a call was parked on its way.

#include <cerrno>

#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::NodeId;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
using namespace std::chrono_literals;

namespace {

std::string bytes_of(fileserver::store::Volume& volume, NodeId node) {
  const auto content = volume.content(node);
  REQUIRE_OK(content);
  std::string text(content->size, '\0');
  REQUIRE_OK(volume.read(*content, 0, std::as_writable_bytes(std::span(text))));
  return text;
}

class ContentFixture : public ChangeFixture {
 public:
  FakeCall with_bytes(json args, std::string_view bytes) {
    return {peer, args, {0, ++number_}, clock.now() + 20s, bytes};
  }
  FakeCall append(NodeId node, std::string_view bytes) {
    return with_bytes({{"fid", fid(node)}, {"bytes", bytes.size()}}, bytes);
  }
  FakeCall store_of(NodeId node, std::string_view bytes) {
    return with_bytes({{"fid", fid(node)},
                       {"size", bytes.size()},
                       {"edits", json::array({json::array({0, bytes.size()})})}},
                      bytes);
  }

 private:
  std::uint64_t number_ = 2'000'000;
};

}  // namespace

TEST_CASE_FIXTURE(ContentFixture,
                  "G9: appends that waited land each once and whole, wherever their bytes lie") {
  const auto holder = session(1);
  const NodeId node = file("log");
  const std::string shorter(700, 's');
  const std::string longer(9'000, 'l');
  REQUIRE(promise(holder, node));
  FakeCall first = append(node, longer);
  FakeCall second = append(node, shorter);
  FakeCall third = append(node, longer);
  REQUIRE(run(first, "append")->parked);
  REQUIRE(run(second, "append")->parked);
  REQUIRE(run(third, "append")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  for (FakeCall* const one : {&first, &second, &third}) {
    const auto done = run(*one, "append");
    REQUIRE_OK(done);
    CHECK_FALSE(done->parked);
  }
  CHECK(bytes_of(store(), node) == longer + shorter + longer);
}

TEST_CASE_FIXTURE(ContentFixture, "a store and an append in one batch keep apart what came along") {
  const auto holder = session(1);
  const NodeId a = file("a");
  const NodeId b = file("b");
  REQUIRE(promise(holder, b));
  const std::string stored(5'000, 'a');
  const std::string appended(6'000, 'b');
  FakeCall both = with_bytes(
      {{"do", json::array({{{"op", "store"},
                            {"fid", fid(a)},
                            {"size", stored.size()},
                            {"edits", json::array({json::array({0, stored.size()})})}},
                           {{"op", "append"}, {"fid", fid(b)}, {"bytes", appended.size()}}})}},
      stored + appended);
  REQUIRE(run(both, "batch")->parked);
  // Somebody else's append comes first: what the batch has made of its base is made again.
  FakeCall other = append(b, "first");
  REQUIRE(run(other, "append")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  REQUIRE_OK(run(other, "append"));
  const auto done = run(both, "batch");
  REQUIRE_OK(done);
  CHECK_FALSE(done->parked);
  CHECK(bytes_of(store(), a) == stored);
  CHECK(bytes_of(store(), b) == "first" + appended);
}

TEST_CASE_FIXTURE(ContentFixture, "one file is not written twice in a batch") {
  const NodeId node = file("a");
  FakeCall twice =
      with_bytes({{"do", json::array({{{"op", "append"}, {"fid", fid(node)}, {"bytes", 1}},
                                      {{"op", "append"}, {"fid", fid(node)}, {"bytes", 1}}})}},
                 "ab");
  CHECK_FAILS(run(twice, "batch"), ErrorCode::InvalidArgument);
  CHECK(bytes_of(store(), node).empty());
}

TEST_CASE_FIXTURE(ContentFixture,
                  "F40: a ticket that ends while bytes wait has five minutes of grace, else none") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall upload = store_of(node, "uploaded");
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  // Both came twenty minutes ago.
  upload.came_before(20min);
  change.came_before(20min);
  REQUIRE(run(upload, "store")->parked);
  REQUIRE(run(change, "setattr")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  const auto now = common::ticket::to_time(clock.wall_now());
  SUBCASE("within the grace") {
    identity.validity.end = now - 4min;
    const auto refused = run(change, "setattr");
    CHECK_FAILS(refused, ErrorCode::Expired);
    CHECK(refused.error().error_number == EKEYEXPIRED);
    CHECK_OK(run(upload, "store"));
    CHECK(bytes_of(store(), node) == "uploaded");
  }
  SUBCASE("after it") {
    identity.validity.end = now - 6min;
    CHECK_FAILS(run(upload, "store"), ErrorCode::Expired);
    CHECK(bytes_of(store(), node).empty());
  }
  CHECK(store().attributes(node)->mode == 0644);
}
