// Streams: what TCP is to a protocol. Bytes come in order and whole or the stream is reset; after a
// reset, how much of what was sent has arrived is unknown to the sender.

#include <fmt/format.h>

#include <cassert>

#include "common/sim/kernel.hpp"
#include "common/sim/kernel_node.hpp"

namespace common::sim {
namespace {

// How long TCP waits before it tries again.
constexpr Duration kRetransmit = std::chrono::milliseconds(200);

constexpr std::uint64_t pack(StreamId id, unsigned side) {
  return std::uint64_t{id} << 1 | side;
}

}  // namespace

StreamId Kernel::connect(NodeIndex from, NodeIndex to) {
  Node& node = *nodes_[from];
  assert(node.in_step && to < nodes_.size());
  const auto id = static_cast<StreamId>(streams_.size());
  Stream& stream = streams_.emplace_back();
  stream.sides[0].node = from;
  stream.sides[0].life = node.life;
  stream.sides[1].node = to;
  if (!takes_effect(node))
    return id;
  stream.sides[0].open = true;
  remember_stream(node, id);
  if (tracing())
    say(from, fmt::format("dials n{}, stream {}", to, id));
  // The acceptor learns of it as the first thing in its inbox.
  enqueue_stream(stream, id, 1, Stream::kHello);
  return id;
}

void Kernel::enqueue_stream(Stream& stream, StreamId id, unsigned to_side, std::uint32_t slot) {
  Stream::Side& side = stream.sides[to_side];
  const NodeIndex from = stream.sides[1 - to_side].node;
  const std::uint64_t bits = mix(plan_.seed ^ ++stream.sent, id);
  Fate fate = noise_of(bits);
  // A lost segment is sent again, a little later each time.
  for (std::uint64_t again = 1; fate.drop && again < 8; ++again) {
    const Duration delay = fate.delay + kRetransmit * again;
    fate = noise_of(mix(bits, again));
    fate.delay = delay;
  }
  side.last_arrival = std::max(side.last_arrival, now_of(from) + fate.delay);
  side.inbox.push(slot);
  push(side.last_arrival, EventKind::StreamDeliver, side.node, 0, pack(id, to_side));
}

void Kernel::send_stream(NodeIndex from, StreamId id, std::uint32_t slot, std::uint64_t digest) {
  Node& node = *nodes_[from];
  assert(node.in_step && id < streams_.size());
  Stream& stream = streams_[id];
  const unsigned side = stream.sides[0].node == from && stream.sides[0].life == node.life ? 0 : 1;
  assert(stream.sides[side].node == from);
  if (!takes_effect(node) || !stream.sides[side].open)
    return host_.release_slot(slot);
  hash_.add(mix(digest, std::uint64_t{id} << 1 | side));
  ++report_.messages;
  if (messages_.size() <= slot)
    messages_.resize(slot + 1);
  messages_[slot] = MessageMeta{.from = from, .life = node.life, .departs = now_of(from)};
  if (tracing())
    say(from, fmt::format("=> stream {} {}", id, host_.describe_slot(slot)));
  enqueue_stream(stream, id, 1 - side, slot);
}

void Kernel::close_stream(NodeIndex from, StreamId id) {
  Node& node = *nodes_[from];
  Stream& stream = streams_[id];
  const unsigned side = stream.sides[0].node == from && stream.sides[0].life == node.life ? 0 : 1;
  if (!takes_effect(node) || !stream.sides[side].open)
    return;
  if (tracing())
    say(from, fmt::format("closes stream {}", id));
  stream.sides[side].open = false;
  drop_queue(stream, side);
  enqueue_stream(stream, id, 1 - side, Stream::kEnd);
}

void Kernel::drop_queue(Stream& stream, unsigned side) {
  for (SlotQueue& inbox = stream.sides[side].inbox; !inbox.empty(); inbox.pop()) {
    if (inbox.front() < Stream::kHello)
      host_.release_slot(inbox.front());
  }
}

void Kernel::close_streams(Node& node) {
  for (const StreamId id : std::exchange(node.streams, {})) {
    for (unsigned side = 0; side < 2; ++side) {
      Stream& stream = streams_[id];
      if (stream.sides[side].node != node.index || !stream.sides[side].open)
        continue;
      stream.sides[side].open = false;
      enqueue_stream(stream, id, 1 - side, Stream::kEnd);
    }
  }
}

void Kernel::remember_stream(Node& node, StreamId id) {
  node.streams.push_back(id);
  if (node.streams.size() < node.streams_checked * 2 + 16)
    return;
  std::erase_if(node.streams, [&](StreamId old) {
    return !streams_[old].sides[0].open && !streams_[old].sides[1].open;
  });
  node.streams_checked = node.streams.size();
}

void Kernel::notify_closed(Stream& stream, StreamId id, unsigned side, Duration delay) {
  drop_queue(stream, side);
  const Stream::Side& end = stream.sides[side];
  if (end.open)
    push(now_ + delay, EventKind::StreamNotice, end.node, end.life, pack(id, side));
}

void Kernel::break_stream(StreamId id, Duration delay) {
  Stream& stream = streams_[id];
  for (unsigned side = 0; side < 2; ++side)
    notify_closed(stream, id, side, delay);
}

void Kernel::handle_notice(Node& node, const Event& event) {
  const auto id = static_cast<StreamId>(event.payload >> 1);
  Stream::Side& side = streams_[id].sides[event.payload & 1];
  if (!node.is_up || node.life != event.life() || !side.open)
    return;
  if (defer(node, event))
    return;
  side.open = false;
  if (tracing())
    say(node.index, fmt::format("stream {} is reset", id));
  step(node, [&] { host_.stream_closed(node.index, id); });
}

// The far side cannot or will not take the head of its inbox now.
bool Kernel::stream_stuck(Node& node, const Event& event, Stream& stream, StreamId id,
                          unsigned to) {
  Stream::Side& side = stream.sides[to];
  const NodeIndex from = stream.sides[1 - to].node;
  if (node.is_up && !cut(from, node.index) && !cut(node.index, from)) {
    side.stuck_since = TrueTime{-1};
    return false;
  }
  if (side.stuck_since.count() < 0)
    side.stuck_since = now_;
  if (now_ - side.stuck_since >= plan_.noise.stream_timeout) {
    break_stream(id, Duration{1});
  } else {
    repush(event, now_ + kRetransmit);
  }
  return true;
}

void Kernel::handle_stream(Node& node, const Event& event) {
  const auto id = static_cast<StreamId>(event.payload >> 1);
  const auto to = static_cast<unsigned>(event.payload & 1);
  Stream& stream = streams_[id];
  Stream::Side& side = stream.sides[to];
  if (side.inbox.empty())
    return;  // dropped by a reset
  if (stream_stuck(node, event, stream, id, to))
    return;
  const std::uint32_t head = side.inbox.front();
  const bool hello = head == Stream::kHello;
  if (!hello && (!side.open || side.life != node.life)) {
    // Nobody at home: the machine answers with a reset.
    drop_queue(stream, to);
    return notify_closed(stream, id, 1 - to, plan_.noise.delay_min);
  }
  if (defer(node, event))
    return;
  side.inbox.pop();
  if (hello) {
    side.open = true;
    side.life = node.life;
    remember_stream(node, id);
    const NodeIndex peer = stream.sides[1 - to].node;
    if (tracing())
      say(node.index, fmt::format("accepts stream {} from n{}", id, peer));
    return step(node, [&] { host_.stream_opened(node.index, id, peer); });
  }
  if (head == Stream::kEnd) {
    side.open = false;
    if (tracing())
      say(node.index, fmt::format("stream {} is closed", id));
    return step(node, [&] { host_.stream_closed(node.index, id); });
  }
  if (!sender_lived(messages_[head]))
    return host_.release_slot(head);
  if (tracing())
    say(node.index, fmt::format("<= stream {} {}", id, host_.describe_slot(head)));
  step(node, [&] { host_.deliver_stream(node.index, id, head); });
}

}  // namespace common::sim
