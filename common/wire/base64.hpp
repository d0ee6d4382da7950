#pragma once

#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/result.hpp"

namespace common::wire {

// RFC 4648, strictly: the standard alphabet always padded, the URL alphabet never. Decoding
// refuses white space, the other alphabet, wrong padding and unused bits that are not zero, so
// that every byte string has exactly one spelling.
std::string to_base64(ByteView bytes);
Result<Bytes> from_base64(std::string_view text);

std::string to_base64url(ByteView bytes);
Result<Bytes> from_base64url(std::string_view text);

}  // namespace common::wire
