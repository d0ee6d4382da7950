// Fuzz target: any bytes, torn anywhere, into the frame decoder and into both ends of a stream.
// The first byte says how the rest is cut into pieces.

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "common/stream/stream_core.hpp"

namespace {

using namespace common::stream;

void insist(bool condition) {
  if (!condition)
    std::abort();
}

// Whatever the pieces, the same frames come out; returns a digest of them.
std::uint64_t decode(BytesView input, std::size_t piece) {
  FrameDecoder decoder;
  std::uint64_t digest = 0;
  while (!input.empty()) {
    BytesView part = input.first(std::min(piece, input.size()));
    input = input.subspan(part.size());
    for (;;) {
      auto frame = decoder.next(part);
      if (!frame)
        return digest * 31 + 7;
      if (!*frame)
        break;
      insist((*frame)->payload.size() <= kMaxMessage);
      digest = digest * 31 + static_cast<std::uint64_t>((*frame)->type);
      for (std::byte b : (*frame)->payload)
        digest = digest * 31 + std::to_integer<unsigned>(b);
    }
    insist(part.empty());
    insist(decoder.held_bytes() <= kHeaderSize + kMaxMessage);
  }
  return digest;
}

// A core fed with this says Closed at most once and ends in time.
void live(StreamCore core, BytesView input, std::size_t piece, common::Instant now) {
  Effects effects;
  while (!input.empty()) {
    const BytesView part = input.first(std::min(piece, input.size()));
    input = input.subspan(part.size());
    const std::size_t seen = effects.size();
    core.on_bytes(part, now, effects);
    for (std::size_t i = seen; i < effects.size(); ++i) {
      if (effects[i].kind == Effect::Kind::HelloReceived)
        core.accept(now, effects);
    }
    core.consume_output(core.output().size() / 2, now);
  }
  for (int i = 0; i < 50 && !core.finished(); ++i) {
    now = std::max(now, core.next_deadline());
    core.on_timer(now, effects);
    insist(core.output().size() <= 64 * 1024);
  }
  insist(core.finished());
  const auto closed = std::count_if(effects.begin(), effects.end(), [](const Effect& effect) {
    return effect.kind == Effect::Kind::Closed;
  });
  insist(closed == 1);
}

}  // namespace

FUZZ_TARGET(stream_frames) {
  if (size == 0)
    return 0;
  const std::size_t piece = std::size_t{data[0]} + 1;
  const BytesView input(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  insist(decode(input, piece) == decode(input, std::max<std::size_t>(input.size(), 1)));
  const CoreOptions options;
  const common::Instant now{std::chrono::seconds(100)};
  live(StreamCore(options, now), input, piece, now);
  live(StreamCore(options, now, {}), input, piece, now);
  return 0;
}
