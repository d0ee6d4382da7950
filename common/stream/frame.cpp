#include "common/stream/frame.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <concepts>

namespace common::stream {
namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{'T'}, std::byte{'R'}, std::byte{'S'},
                                          std::byte{'T'}};
constexpr std::size_t kHelloFixed = 4 + 2 + 2;
constexpr std::size_t kWelcomeSize = 2 + 4 + 4 + 8;
constexpr std::size_t kNumberSize = 8;
constexpr std::size_t kGoodbyeFixed = 1 + 4;

struct Limits {
  std::size_t least;
  std::size_t most;
};

// Nothing for a type that this version does not know.
std::optional<Limits> limits_of(std::uint8_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::Hello:
      return Limits{kHelloFixed, kHelloFixed + kMaxCredential};
    case FrameType::Welcome:
      return Limits{kWelcomeSize, kWelcomeSize};
    case FrameType::Renew:
    case FrameType::Renewed:
      return Limits{kNumberSize, kNumberSize};
    case FrameType::Message:
      return Limits{1, kMaxMessage};
    case FrameType::Goodbye:
      return Limits{kGoodbyeFixed, kGoodbyeFixed + kMaxGoodbyeText};
  }
  return std::nullopt;
}

template <std::unsigned_integral T>
void put(Bytes& out, T value) {
  for (std::size_t i = sizeof(T); i-- > 0;) {
    out.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xFF));
  }
}

// Precondition: `in` holds at least sizeof(T) bytes.
template <std::unsigned_integral T>
T get(BytesView& in) {
  assert(in.size() >= sizeof(T));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = (value << 8) | std::to_integer<std::uint64_t>(in[i]);
  }
  in = in.subspan(sizeof(T));
  return static_cast<T>(value);
}

Bytes begin_frame(FrameType type, std::size_t payload_size) {
  Bytes out;
  out.reserve(kHeaderSize + payload_size);
  put(out, static_cast<std::uint32_t>(payload_size));
  put(out, static_cast<std::uint8_t>(type));
  return out;
}

void append(Bytes& out, BytesView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

std::uint32_t to_wire_ms(std::chrono::milliseconds duration) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(duration.count(), 0, UINT32_MAX));
}

Bytes encode_number(FrameType type, std::uint64_t number) {
  Bytes out = begin_frame(type, kNumberSize);
  put(out, number);
  return out;
}

}  // namespace

Bytes encode_hello(const Hello& hello) {
  assert(hello.credential.size() <= kMaxCredential);
  Bytes out = begin_frame(FrameType::Hello, kHelloFixed + hello.credential.size());
  append(out, kMagic);
  put(out, hello.lowest_version);
  put(out, hello.highest_version);
  append(out, hello.credential);
  return out;
}

Bytes encode_welcome(const Welcome& welcome) {
  Bytes out = begin_frame(FrameType::Welcome, kWelcomeSize);
  put(out, welcome.version);
  put(out, to_wire_ms(welcome.keep_alive));
  put(out, to_wire_ms(welcome.lease));
  put(out, welcome.server_epoch);
  return out;
}

Bytes encode_renew(std::uint64_t number) {
  return encode_number(FrameType::Renew, number);
}
Bytes encode_renewed(std::uint64_t number) {
  return encode_number(FrameType::Renewed, number);
}

Bytes encode_message(BytesView payload) {
  assert(!payload.empty() && payload.size() <= kMaxMessage);
  Bytes out = begin_frame(FrameType::Message, payload.size());
  append(out, payload);
  return out;
}

Bytes encode_goodbye(const Goodbye& goodbye) {
  const std::size_t text_size = std::min(goodbye.text.size(), kMaxGoodbyeText);
  Bytes out = begin_frame(FrameType::Goodbye, kGoodbyeFixed + text_size);
  put(out, static_cast<std::uint8_t>(goodbye.reason));
  put(out, to_wire_ms(goodbye.retry_after));
  append(out, std::as_bytes(std::span(goodbye.text.data(), text_size)));
  return out;
}

Result<Hello> decode_hello(BytesView payload) {
  if (payload.size() < kHelloFixed || payload.size() > kHelloFixed + kMaxCredential) {
    return fail(ErrorCode::Protocol, "a hello of {} bytes", payload.size());
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), payload.begin())) {
    return fail(ErrorCode::Protocol, "the peer does not speak the stream protocol");
  }
  payload = payload.subspan(kMagic.size());
  Hello hello;
  hello.lowest_version = get<std::uint16_t>(payload);
  hello.highest_version = get<std::uint16_t>(payload);
  if (hello.lowest_version > hello.highest_version) {
    return fail(ErrorCode::Protocol, "a hello with versions {} to {}", hello.lowest_version,
                hello.highest_version);
  }
  hello.credential.assign(payload.begin(), payload.end());
  return hello;
}

Result<Welcome> decode_welcome(BytesView payload) {
  if (payload.size() != kWelcomeSize) {
    return fail(ErrorCode::Protocol, "a welcome of {} bytes", payload.size());
  }
  Welcome welcome;
  welcome.version = get<std::uint16_t>(payload);
  welcome.keep_alive = std::chrono::milliseconds(get<std::uint32_t>(payload));
  welcome.lease = std::chrono::milliseconds(get<std::uint32_t>(payload));
  welcome.server_epoch = get<std::uint64_t>(payload);
  // A keep-alive of zero would renew without pause; one that is too long loses every lease.
  if (welcome.keep_alive.count() == 0 || welcome.keep_alive * 3 > welcome.lease) {
    return fail(ErrorCode::Protocol, "a welcome with keep-alive {} ms and lease {} ms",
                welcome.keep_alive.count(), welcome.lease.count());
  }
  return welcome;
}

Result<std::uint64_t> decode_number(BytesView payload) {
  if (payload.size() != kNumberSize) {
    return fail(ErrorCode::Protocol, "a renewal of {} bytes", payload.size());
  }
  return get<std::uint64_t>(payload);
}

Result<Goodbye> decode_goodbye(BytesView payload) {
  if (payload.size() < kGoodbyeFixed || payload.size() > kGoodbyeFixed + kMaxGoodbyeText) {
    return fail(ErrorCode::Protocol, "a goodbye of {} bytes", payload.size());
  }
  Goodbye goodbye;
  const auto reason = get<std::uint8_t>(payload);
  const bool known = reason >= static_cast<std::uint8_t>(GoodbyeReason::Leaving) &&
                     reason <= static_cast<std::uint8_t>(GoodbyeReason::Expired);
  goodbye.reason = known ? static_cast<GoodbyeReason>(reason) : GoodbyeReason::Leaving;
  goodbye.retry_after = std::chrono::milliseconds(get<std::uint32_t>(payload));
  goodbye.text.reserve(payload.size());
  for (std::byte b : payload)
    goodbye.text.push_back(std::to_integer<char>(b));
  return goodbye;
}

void FrameDecoder::take(BytesView& input, std::size_t count) {
  const std::size_t n = std::min(count, input.size());
  held_.insert(held_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
  input = input.subspan(n);
}

Result<std::optional<Frame>> FrameDecoder::next(BytesView& input) {
  if (delivered_) {
    delivered_ = false;
    Bytes().swap(held_);  // an idle stream holds no buffer
  }
  if (input.empty())
    return std::optional<Frame>();
  // The common case, a whole frame in the input, is not copied.
  const bool torn = !held_.empty() || input.size() < kHeaderSize;
  if (torn && held_.size() < kHeaderSize)
    take(input, kHeaderSize - held_.size());
  if (torn && held_.size() < kHeaderSize)
    return std::optional<Frame>();

  BytesView header = torn ? BytesView(held_).first(kHeaderSize) : input.first(kHeaderSize);
  const std::size_t length = get<std::uint32_t>(header);
  const auto type = get<std::uint8_t>(header);
  const auto limits = limits_of(type);
  if (!limits)
    return fail(ErrorCode::Protocol, "a frame of unknown type {}", type);
  if (length < limits->least || length > limits->most) {
    return fail(ErrorCode::Protocol, "a frame of type {} that claims {} bytes", type, length);
  }

  const std::size_t whole = kHeaderSize + length;
  if (!torn && input.size() >= whole) {
    const Frame frame{static_cast<FrameType>(type), input.subspan(kHeaderSize, length)};
    input = input.subspan(whole);
    return std::optional(frame);
  }
  take(input, whole - held_.size());
  if (held_.size() < whole)
    return std::optional<Frame>();
  delivered_ = true;
  return std::optional(
      Frame{static_cast<FrameType>(type), BytesView(held_).subspan(kHeaderSize, length)});
}

}  // namespace common::stream
