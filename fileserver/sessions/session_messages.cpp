#include "fileserver/sessions/session_messages.hpp"

#include <algorithm>

#include "common/fileproto/stream_messages.hpp"

namespace fileserver {

namespace {

namespace fileproto = common::fileproto;
using common::NodeId;

std::vector<common::Bytes> encode_all(const std::vector<fileproto::Update>& updates) {
  std::vector<common::Bytes> messages;
  for (const fileproto::Update& update : updates) {
    if (auto message = fileproto::encode_message(fileproto::ServerMessage(update)))
      messages.push_back(*std::move(message));
  }
  return messages;
}

}  // namespace

common::Bytes encode_break(const SendBreak& message) {
  fileproto::Break out;
  out.number = message.number;
  out.grant_clock = message.grant_clock;
  if (message.nodes.size() <= fileproto::kMaxBreakNodes) {
    // Nothing is about to change of what is given up for room; it is withdrawn all the same.
    constexpr std::uint8_t kWithdrawn =
        what::kBytes | what::kAttributes | what::kEntries | what::kAccess;
    for (const Touched& touched : message.nodes)
      out.nodes.push_back({touched.node, touched.what == 0 ? kWithdrawn : touched.what});
  }
  auto encoded = fileproto::encode_message(fileproto::ServerMessage(out));
  return encoded ? *std::move(encoded) : common::Bytes();
}

std::vector<common::Bytes> encode_update(const SendUpdate& message, const ChangeNews& news) {
  fileproto::Update out;
  out.grant_clock = message.grant_clock;
  out.volume = news.volume;
  out.epoch = news.commit.epoch;
  out.seq = news.commit.seq;
  const auto& outcomes = news.commit.nodes;
  for (std::size_t i = 0; i < message.nodes.size(); ++i) {
    const NodeId node = message.nodes[i].node;
    const auto found = std::lower_bound(
        outcomes.begin(), outcomes.end(), node,
        [](const store::NodeOutcome& outcome, NodeId id) { return outcome.attributes.node < id; });
    // Marked, but not touched after all: it is as it was, and asked for again when it is used.
    if (found == outcomes.end() || found->attributes.node != node)
      continue;
    fileproto::UpdatedNode& updated = out.nodes.emplace_back();
    updated.node = node;
    updated.old_version = found->before ? found->before->version : common::Seq{};
    updated.gone = found->gone;
    updated.granted = message.granted[i] && !found->gone;
  }
  if (out.nodes.empty())
    return {};
  return encode_all(fileproto::split(std::move(out)));
}

}  // namespace fileserver
