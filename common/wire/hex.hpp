#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"

namespace common::wire {

// Lower-case hexadecimal. Decoding refuses capitals, so that every value has one spelling.
std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view text);
// Fills `out` exactly.
Status from_hex_into(std::string_view text, std::span<std::byte> out);

// 32 digits, high half first.
std::string to_hex(const OperationId& id);
Result<OperationId> operation_id_from_hex(std::string_view text);

}  // namespace common::wire
