#pragma once

// The HTTP head of a reply, as the client believes it. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/result.hpp"

namespace common::rpc {

struct HttpReplyHead {
  int status = 0;
  std::uint64_t content_length = 0;
  bool is_bytes = false;
  bool close = false;
  std::size_t size = 0;  // of the head, its empty line included
};

// nullopt: more bytes are needed. Fails (Protocol) on anything that is not HTTP/1.1 with exactly
// one Content-Length, or does not end within the head limit.
[[nodiscard]] Result<std::optional<HttpReplyHead>> parse_reply_head(std::string_view received);

}  // namespace common::rpc
