#include "common/wire/kdc_dump.hpp"

#include <nlohmann/json.hpp>

#include "common/wire/base64.hpp"
#include "common/wire/hex.hpp"
#include "common/wire/json.hpp"
#include "common/wire/json_object.hpp"

namespace common::wire {
namespace {

constexpr std::string_view kHeader = "troth_kdc_dump";
constexpr std::string_view kRow = "row";
constexpr std::string_view kEnd = "end";
constexpr std::size_t kMostColumns = 32;
constexpr std::size_t kMostName = 64;

Result<std::string> line_of(const nlohmann::json& value) {
  TROTH_TRY(std::string line, dump_json(value, true));
  line += '\n';
  return line;
}

nlohmann::json value_of(const KdcDumpRow::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return *number;
  if (const auto* text = std::get_if<std::string>(&value))
    return *text;
  return {{"b64", to_base64(std::get<Bytes>(value))}};
}

Result<KdcDumpRow::Value> from_value(const nlohmann::json& value) {
  if (value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<std::uint64_t>() <=
           static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))) {
    return KdcDumpRow::Value(value.get<std::int64_t>());
  }
  if (value.is_string())
    return KdcDumpRow::Value(value.get<std::string>());
  TROTH_TRY(const JsonObject object, JsonObject::of(value, "value"));
  TROTH_TRY_VOID(object.refuse_others({"b64"}));
  TROTH_TRY(const std::string text, object.text("b64", kMaxKdcDumpLine));
  TROTH_TRY(Bytes bytes, from_base64(text));
  return KdcDumpRow::Value(std::move(bytes));
}

Result<KdcDumpHeader> decode_header(const JsonObject& object) {
  TROTH_TRY(const std::uint32_t version, object.u32(kHeader));
  if (version != kKdcDumpVersion)
    return fail(ErrorCode::Unsupported, "a dump of version {}, which is not known here", version);
  TROTH_TRY_VOID(object.refuse_others({kHeader, "cell", "made_ms"}));
  KdcDumpHeader header;
  TROTH_TRY(header.cell, object.text("cell", kMostName));
  TROTH_TRY(header.made_ms, object.u64("made_ms"));
  return header;
}

Result<KdcDumpRow> decode_row(const JsonObject& object) {
  TROTH_TRY_VOID(object.refuse_others({"table", kRow}));
  KdcDumpRow row;
  TROTH_TRY(row.table, object.text("table", kMostName));
  TROTH_TRY(const nlohmann::json* values, object.list(kRow, kMostColumns));
  for (const nlohmann::json& value : *values) {
    TROTH_TRY(KdcDumpRow::Value decoded, from_value(value));
    row.values.push_back(std::move(decoded));
  }
  return row;
}

Result<KdcDumpEnd> decode_end(const JsonObject& object) {
  TROTH_TRY_VOID(object.refuse_others({kEnd, "sha256"}));
  KdcDumpEnd end;
  TROTH_TRY(end.rows, object.u64(kEnd));
  TROTH_TRY(const std::string hex, object.text("sha256", 64));
  TROTH_TRY(end.sha256, from_hex(hex));
  return end;
}

}  // namespace

Result<std::string> encode_kdc_dump(const KdcDumpHeader& header) {
  return line_of({{std::string(kHeader), kKdcDumpVersion},
                  {"cell", header.cell},
                  {"made_ms", header.made_ms}});
}

Result<std::string> encode_kdc_dump(const KdcDumpRow& row) {
  nlohmann::json values = nlohmann::json::array();
  for (const KdcDumpRow::Value& value : row.values)
    values.push_back(value_of(value));
  return line_of({{"table", row.table}, {std::string(kRow), std::move(values)}});
}

Result<std::string> encode_kdc_dump(const KdcDumpEnd& end) {
  return line_of({{std::string(kEnd), end.rows}, {"sha256", to_hex(end.sha256)}});
}

Result<KdcDumpLine> decode_kdc_dump(std::string_view line) {
  TROTH_TRY(const nlohmann::json value, parse_json(line, {.bytes = kMaxKdcDumpLine}));
  TROTH_TRY(const JsonObject object, JsonObject::of(value, "line"));
  if (object.has(kHeader))
    return decode_header(object).map([](KdcDumpHeader header) { return KdcDumpLine(header); });
  if (object.has(kRow))
    return decode_row(object).map([](KdcDumpRow row) { return KdcDumpLine(std::move(row)); });
  return decode_end(object).map([](KdcDumpEnd end) { return KdcDumpLine(std::move(end)); });
}

}  // namespace common::wire
