#pragma once

// What the codecs of this folder share. For its .cpp files only.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/bytes.hpp"
#include "common/result.hpp"
#include "common/ticket/principal.hpp"
#include "common/ticket/time.hpp"
#include "common/wire/binary.hpp"

namespace common::ticket::codec {

// The second byte of everything. No two messages share one, so none can be taken for another.
enum class Type : std::uint8_t {
  AsRequest = 1,
  AsReply = 2,
  TgsRequest = 3,
  TgsReply = 4,
  ApRequest = 5,
  ApReply = 6,
  Ticket = 7,
  Proof = 8,
  Keytab = 9,
  TicketBody = 17,
  Grant = 18,
};

// As wire::BinaryWriter, into memory that the caller has: for what holds keys, which must not be
// left behind in a buffer that grew. Writing past the end loses the rest and is noticed by size().
class SecretWriter {
 public:
  explicit SecretWriter(std::span<std::byte> out) : out_(out) {}

  SecretWriter& u8(std::uint8_t value) { return integer(value, 1); }
  SecretWriter& u32(std::uint32_t value) { return integer(value, 4); }
  SecretWriter& u64(std::uint64_t value) { return integer(value, 8); }
  SecretWriter& fixed(ByteView bytes) {
    if (bytes.size() > out_.size() - used_) {
      overflown_ = true;
      return *this;
    }
    std::copy(bytes.begin(), bytes.end(), out_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ += bytes.size();
    return *this;
  }
  SecretWriter& bytes(ByteView bytes) {
    return u32(static_cast<std::uint32_t>(bytes.size())).fixed(bytes);
  }
  SecretWriter& text(std::string_view text) { return bytes(as_bytes(text)); }

  // How much was written; InvalidArgument if it did not fit.
  [[nodiscard]] Result<std::size_t> size() const {
    if (overflown_)
      return fail(ErrorCode::InvalidArgument, "a message is longer than its limit");
    return used_;
  }

 private:
  SecretWriter& integer(std::uint64_t value, unsigned size) {
    std::byte encoded[8];
    for (unsigned i = 0; i < size; ++i)
      encoded[i] = static_cast<std::byte>(value >> (8 * (size - 1 - i)));
    return fixed(ByteView(encoded, size));
  }
  std::span<std::byte> out_;
  std::size_t used_ = 0;
  bool overflown_ = false;
};

template <typename Writer>
void put_header(Writer& out, std::uint8_t version, Type type) {
  out.u8(version).u8(static_cast<std::uint8_t>(type));
}

inline Status take_header(wire::BinaryReader& in, std::uint8_t expected_version, Type type) {
  TROTH_TRY(const std::uint8_t version, in.u8());
  TROTH_TRY(const std::uint8_t found, in.u8());
  if (version != expected_version || found != static_cast<std::uint8_t>(type))
    return fail(ErrorCode::Protocol, "unknown version or another message");
  return {};
}

// A text as a view into the input; what it may hold is for check_*_name to say.
inline Result<std::string_view> take_text(wire::BinaryReader& in, std::size_t most) {
  TROTH_TRY(const ByteView raw, in.bytes(most));
  return as_text(raw);
}

inline Status as_protocol(Status checked) {
  if (!checked)
    checked.error().code = ErrorCode::Protocol;
  return checked;
}

inline Result<std::string_view> take_cell(wire::BinaryReader& in) {
  TROTH_TRY(const std::string_view cell, take_text(in, kMaxCellId));
  TROTH_TRY_VOID(as_protocol(check_cell_id(cell)));
  return cell;
}

inline Result<std::string_view> take_service(wire::BinaryReader& in) {
  TROTH_TRY(const std::string_view service, take_text(in, kMaxPrincipalName));
  TROTH_TRY_VOID(as_protocol(check_service_name(service)));
  return service;
}

template <typename Array>
Result<Array> take_array(wire::BinaryReader& in) {
  Array array{};
  TROTH_TRY_VOID(in.fixed(std::span<std::byte>(array)));
  return array;
}

inline Result<Milliseconds> take_milliseconds(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  if (value > static_cast<std::uint64_t>(kLatestTime.time_since_epoch().count()))
    return fail(ErrorCode::Protocol, "a time or duration beyond the year 9999");
  return Milliseconds(static_cast<std::int64_t>(value));
}

inline Result<Time> take_time(wire::BinaryReader& in) {
  TROTH_TRY(const Milliseconds since, take_milliseconds(in));
  return Time(since);
}

// 0 is none.
inline Result<std::optional<Time>> take_optional_time(wire::BinaryReader& in) {
  TROTH_TRY(const Time time, take_time(in));
  return time == Time{} ? std::optional<Time>() : time;
}

inline bool encodable(Milliseconds value) {
  return value >= Milliseconds{0} && value <= kLatestTime.time_since_epoch();
}
inline bool encodable(Time time) {
  return encodable(time.time_since_epoch());
}
// None is 0, so the beginning of 1970 itself cannot be said.
inline bool encodable(const std::optional<Time>& time) {
  return !time || (encodable(*time) && *time != Time{});
}

inline std::uint64_t number(Milliseconds value) {
  return static_cast<std::uint64_t>(value.count());
}
inline std::uint64_t number(Time time) {
  return number(time.time_since_epoch());
}
inline std::uint64_t number(const std::optional<Time>& time) {
  return time ? number(*time) : 0;
}

}  // namespace common::ticket::codec
