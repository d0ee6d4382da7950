#pragma once

// A message on its way to the loop's thread, encoded once. Internal to common/stream.

#include <memory>

#include "common/stream/frame.hpp"

namespace common::stream {

inline Result<std::shared_ptr<const Bytes>> message_frame(BytesView message) {
  if (message.empty() || message.size() > kMaxMessage) {
    return fail(ErrorCode::InvalidArgument, "a message of {} bytes; at most {} fit", message.size(),
                kMaxMessage);
  }
  return std::make_shared<const Bytes>(encode_message(message));
}

}  // namespace common::stream
