#pragma once

// Frames of the stream protocol (PROTOCOL.md): what may be on the wire, and how long it may be.
// Pure: no socket, clock or TLS. Not thread-safe; a decoder belongs to one stream.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/result.hpp"

namespace common::stream {

using Bytes = std::vector<std::byte>;
using BytesView = std::span<const std::byte>;

enum class FrameType : std::uint8_t {
  Hello = 1,
  Welcome = 2,
  Renew = 3,
  Renewed = 4,
  Message = 5,
  Goodbye = 6,
};

enum class GoodbyeReason : std::uint8_t {
  Leaving = 1,
  Version = 2,
  Refused = 3,
  Protocol = 4,
  Overloaded = 5,
  Replaced = 6,
  Expired = 7,
};

inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::size_t kHeaderSize = 5;
// A message is a notice, not a file: what is larger is fetched by a call. One fits a TLS record
// or spills into a second one by the header at most.
inline constexpr std::size_t kMaxMessage = 16 * 1024;
// A session's id with proofs, or a service ticket with its authenticator unless it names very many
// groups: those are shown in a call, which takes more from strangers.
inline constexpr std::size_t kMaxCredential = 4096;
inline constexpr std::size_t kMaxGoodbyeText = 256;

struct Hello {
  std::uint16_t lowest_version = kProtocolVersion;
  std::uint16_t highest_version = kProtocolVersion;
  Bytes credential;
};

struct Welcome {
  std::uint16_t version = kProtocolVersion;
  std::chrono::milliseconds keep_alive{0};
  std::chrono::milliseconds lease{0};
  std::uint64_t server_epoch = 0;
};

struct Goodbye {
  GoodbyeReason reason = GoodbyeReason::Leaving;
  std::chrono::milliseconds retry_after{0};
  std::string text;
};

// Encoders return a whole frame, header included. Precondition: lengths are within the limits
// above; encode_goodbye cuts its text.
Bytes encode_hello(const Hello& hello);
Bytes encode_welcome(const Welcome& welcome);
Bytes encode_renew(std::uint64_t number);
Bytes encode_renewed(std::uint64_t number);
Bytes encode_message(BytesView payload);
Bytes encode_goodbye(const Goodbye& goodbye);

// Decoders of a payload whose frame type is already known. They fail with Protocol.
Result<Hello> decode_hello(BytesView payload);
Result<Welcome> decode_welcome(BytesView payload);
Result<std::uint64_t> decode_number(BytesView payload);
Result<Goodbye> decode_goodbye(BytesView payload);

// One frame; `payload` points into the decoder's input or its buffer and is good until the next
// call of next().
struct Frame {
  FrameType type = FrameType::Message;
  BytesView payload;
};

// Cuts a stream of bytes into frames, wherever the pieces are torn. Holds at most one unfinished
// frame, and only the bytes of it that have really arrived: a length that lies costs nothing.
class FrameDecoder {
 public:
  // Takes bytes off the front of `input`. Returns a frame when one is whole, nothing when `input`
  // is used up, Protocol when the header names an unknown type or a length outside the limits of
  // its type. After a failure the decoder must not be used again.
  Result<std::optional<Frame>> next(BytesView& input);

  // True while the beginning of a frame is held.
  [[nodiscard]] bool mid_frame() const { return !held_.empty() && !delivered_; }
  [[nodiscard]] std::size_t held_bytes() const { return held_.size(); }

 private:
  // Moves up to `count` bytes from `input` into held_.
  void take(BytesView& input, std::size_t count);

  Bytes held_;  // header and payload so far of an unfinished frame; empty between frames
  bool delivered_ = false;  // held_ was handed out by the last next() and is to be dropped
};

}  // namespace common::stream
