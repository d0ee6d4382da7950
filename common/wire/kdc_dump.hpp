#pragma once

// The text form of the KDC's database: one JSON value on each line. First a header, then every row
// of every table, then the end with the number of rows and the SHA-256 of all lines before it.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/bytes.hpp"
#include "common/result.hpp"

namespace common::wire {

inline constexpr std::uint32_t kKdcDumpVersion = 1;
inline constexpr std::size_t kMaxKdcDumpLine = 16 * 1024;

struct KdcDumpHeader {
  std::string cell;
  std::uint64_t made_ms = 0;
};
struct KdcDumpRow {
  using Value = std::variant<std::int64_t, std::string, Bytes>;
  std::string table;
  std::vector<Value> values;  // in the order of the table's columns
};
struct KdcDumpEnd {
  std::uint64_t rows = 0;
  Bytes sha256;
};

// With their newline. Equal values give equal lines.
Result<std::string> encode_kdc_dump(const KdcDumpHeader& header);
Result<std::string> encode_kdc_dump(const KdcDumpRow& row);
Result<std::string> encode_kdc_dump(const KdcDumpEnd& end);

using KdcDumpLine = std::variant<KdcDumpHeader, KdcDumpRow, KdcDumpEnd>;
// Without its newline. Protocol; TooLarge over a limit; Unsupported for another version.
Result<KdcDumpLine> decode_kdc_dump(std::string_view line);

}  // namespace common::wire
