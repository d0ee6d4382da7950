#pragma once

// The strict check of a request's HTTP head, made before anything else looks at it.
//
// HTTP parsers disagree about odd requests, and every disagreement about where a request ends has
// been an attack. So only one plain form is let through; what passes here, every parser reads
// alike. Pure: bytes in, verdict out.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/rpc/protocol.hpp"

namespace common::rpc {

// A head that passed. The views point into the bytes that were checked.
struct RequestHead {
  std::string_view service;
  std::string_view operation;
  std::uint64_t content_length = 0;
  std::size_t size = 0;   // of the head itself, its empty line included
  bool is_bytes = false;  // application/octet-stream, else application/json
  bool close = false;     // the caller asked for an end after the reply
};

struct HeadVerdict {
  enum class Kind { Incomplete, Accepted, Refused };
  Kind kind = Kind::Incomplete;
  RequestHead head;              // Accepted
  int status = 0;                // Refused: the HTTP status to answer
  std::string_view reason = {};  // Refused: one sentence, a constant of ours
};

struct HeadLimits {
  std::size_t bytes = kMaxHttpHeadBytes;
  std::size_t lines = kMaxHeaderLines;
};

// Judges the bytes received so far. Refuses as soon as a complete line shows that the head cannot
// become acceptable, at the latest when `limits.bytes` have come without an empty line.
[[nodiscard]] HeadVerdict check_head(std::string_view received, const HeadLimits& limits = {});

}  // namespace common::rpc
