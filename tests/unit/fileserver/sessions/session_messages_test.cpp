#include "fileserver/sessions/session_messages.hpp"

#include "common/fileproto/stream_messages.hpp"
#include "tests/support/test.hpp"

using common::Fid;
using common::NodeId;
using common::Seq;
using common::VolumeId;
using fileserver::ChangeNews;
using fileserver::SendBreak;
using fileserver::SendUpdate;
namespace fileproto = common::fileproto;
namespace store = fileserver::store;

namespace {

Fid fid(std::uint64_t node) {
  return {VolumeId{3}, NodeId{node}};
}

store::NodeOutcome outcome(std::uint64_t node, std::uint64_t was, bool gone) {
  store::NodeOutcome out;
  out.attributes.node = NodeId{node};
  out.gone = gone;
  out.before = store::Attributes{};
  out.before->version = Seq{was};
  return out;
}

}  // namespace

TEST_CASE("a break names its nodes, and more than a message holds are everything") {
  SendBreak message;
  message.number = 7;
  message.grant_clock = 99;
  message.nodes = {{fid(5), fileserver::what::kBytes}, {fid(6), fileserver::what::kGone}};
  const auto decoded = fileproto::decode_server_message(fileserver::encode_break(message));
  REQUIRE_OK(decoded);
  const auto* const told = std::get_if<fileproto::Break>(&*decoded);
  REQUIRE(told != nullptr);
  CHECK(told->number == 7);
  CHECK(told->grant_clock == 99);
  REQUIRE(told->nodes.size() == 2);
  CHECK(told->nodes[1].fid == fid(6));
  // Given up for room: nothing is about to change of it.
  message.nodes = {{fid(5), 0}};
  const auto given_up = fileproto::decode_server_message(fileserver::encode_break(message));
  REQUIRE_OK(given_up);
  REQUIRE(std::get<fileproto::Break>(*given_up).nodes.size() == 1);
  CHECK(std::get<fileproto::Break>(*given_up).nodes[0].fid == fid(5));
  message.nodes.assign(fileproto::kMaxBreakNodes + 1, message.nodes[0]);
  const auto all = fileproto::decode_server_message(fileserver::encode_break(message));
  REQUIRE_OK(all);
  CHECK(std::get<fileproto::Break>(*all).nodes.empty());
}

TEST_CASE("an update tells what became of each node, and promises nothing of one that is gone") {
  ChangeNews news;
  news.volume = VolumeId{3};
  news.commit.epoch = common::Epoch{2};
  news.commit.seq = Seq{40};
  news.commit.nodes = {outcome(5, 31, false), outcome(6, 32, true)};
  SendUpdate message;
  message.grant_clock = 99;
  // The last was marked, and not touched after all.
  message.nodes = {fid(5), fid(6), fid(7)};
  message.granted = {true, true, true};
  const auto messages = fileserver::encode_update(message, news);
  REQUIRE(messages.size() == 1);
  const auto decoded = fileproto::decode_server_message(messages[0]);
  REQUIRE_OK(decoded);
  const auto* const told = std::get_if<fileproto::Update>(&*decoded);
  REQUIRE(told != nullptr);
  CHECK(told->grant_clock == 99);
  CHECK(told->seq == Seq{40});
  REQUIRE(told->nodes.size() == 2);
  CHECK(told->nodes[0].node == NodeId{5});
  CHECK(told->nodes[0].old_version == Seq{31});
  CHECK(told->nodes[0].granted);
  CHECK_FALSE(told->nodes[0].gone);
  CHECK(told->nodes[1].gone);
  CHECK_FALSE(told->nodes[1].granted);
  message.nodes = {fid(7)};
  CHECK(fileserver::encode_update(message, news).empty());
}
