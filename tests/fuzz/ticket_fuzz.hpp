#pragma once

// What the targets of common/ticket share.

#include <algorithm>

#include "common/ticket/messages.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace fuzz {

// What decodes encodes back to the very bytes it came from: there is no second encoding, nothing
// was ignored and nothing was read that is not there.
template <typename Decode, typename Encode>
int one_encoding(const std::uint8_t* data, std::size_t size, Decode decode, Encode encode) {
  const common::ByteView input = bytes(data, size);
  const auto message = decode(input);
  if (!message) {
    require(message.error().code == common::ErrorCode::Protocol, "ill-formed means Protocol");
    return 0;
  }
  const auto back = encode(*message);
  require(back.has_value(), "what was decoded can be encoded");
  require(std::ranges::equal(*back, input), "one encoding");
  return 0;
}

// The same for what is encoded into memory for secrets.
template <typename Decode, typename Encode>
int one_secret_encoding(const std::uint8_t* data, std::size_t size, Decode decode, Encode encode) {
  return one_encoding(data, size, decode,
                      [&](const auto& message) -> common::Result<common::Bytes> {
                        common::Bytes room(common::ticket::kMaxSealedTicket);
                        TROTH_TRY(const std::size_t used, encode(message, room));
                        room.resize(used);
                        return room;
                      });
}

}  // namespace fuzz
