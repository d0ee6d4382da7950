#include "common/rpc/protocol.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/wire/hex.hpp"
#include "common/wire/json.hpp"

namespace common::rpc {
namespace {

struct StatusRow {
  int status;
  ErrorCode code;
  std::string_view reason;
};

// The first row of a status gives the code for a status without a body of ours.
constexpr std::array kRows{
    StatusRow{400, ErrorCode::InvalidArgument, "Bad Request"},
    StatusRow{400, ErrorCode::Protocol, ""},
    StatusRow{401, ErrorCode::Unauthenticated, "Unauthorized"},
    StatusRow{401, ErrorCode::Expired, ""},
    StatusRow{403, ErrorCode::PermissionDenied, "Forbidden"},
    StatusRow{404, ErrorCode::NotFound, "Not Found"},
    StatusRow{409, ErrorCode::Conflict, "Conflict"},
    StatusRow{409, ErrorCode::AlreadyExists, ""},
    StatusRow{409, ErrorCode::Deadlock, ""},
    StatusRow{410, ErrorCode::Stale, "Gone"},
    StatusRow{413, ErrorCode::TooLarge, "Payload Too Large"},
    StatusRow{423, ErrorCode::Busy, "Locked"},
    StatusRow{429, ErrorCode::ResourceExhausted, "Too Many Requests"},
    StatusRow{499, ErrorCode::Cancelled, "Client Closed Request"},
    StatusRow{500, ErrorCode::Internal, "Internal Server Error"},
    StatusRow{500, ErrorCode::IoError, ""},
    StatusRow{500, ErrorCode::Corrupt, ""},
    StatusRow{500, ErrorCode::OutcomeUnknown, ""},
    StatusRow{501, ErrorCode::Unsupported, "Not Implemented"},
    StatusRow{503, ErrorCode::Unavailable, "Service Unavailable"},
    StatusRow{503, ErrorCode::Overloaded, ""},
    StatusRow{504, ErrorCode::DeadlineExceeded, "Gateway Timeout"},
    StatusRow{507, ErrorCode::NoSpace, "Insufficient Storage"},
};

bool is_trace(std::string_view text) {
  return text.size() <= kMaxTraceBytes && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-';
         });
}

// Bodies are capped before they come here; but each byte of a text may be a value, which takes 16
// bytes and more.
Result<nlohmann::json> parse_object(std::string_view text, std::size_t values) {
  const wire::JsonLimits limits{
      .bytes = text.size(), .depth = kMaxJsonDepth, .values = values, .text_bytes = text.size()};
  TROTH_TRY(auto value, wire::parse_json(text, limits));
  if (!value.is_object())
    return fail(ErrorCode::Protocol, "not a JSON object");
  return value;
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Status decode_optional_fields(const nlohmann::json& object, CallHead& head) {
  if (auto id = object.find("id"); id != object.end()) {
    const auto* text = id->get_ptr<const std::string*>();
    const auto parsed = wire::operation_id_from_hex(text != nullptr ? *text : std::string());
    if (!parsed)
      return fail(ErrorCode::InvalidArgument, "\"id\" must be 32 hex digits in lower case");
    head.id = *parsed;
  }
  if (auto deadline = object.find("deadline_ms"); deadline != object.end()) {
    if (!deadline->is_number_unsigned()) {
      return fail(ErrorCode::InvalidArgument, "\"deadline_ms\" must be a whole number");
    }
    const auto asked = deadline->get<std::uint64_t>();
    head.deadline = std::chrono::milliseconds(
        std::min<std::uint64_t>(asked, static_cast<std::uint64_t>(kMaxDeadline.count())));
  }
  if (auto trace = object.find("trace"); trace != object.end()) {
    const auto* text = trace->get_ptr<const std::string*>();
    if (text == nullptr || !is_trace(*text)) {
      return fail(ErrorCode::InvalidArgument,
                  "\"trace\" must be up to {} letters, digits or dashes", kMaxTraceBytes);
    }
    head.trace = *text;
  }
  return {};
}

}  // namespace

int http_status(ErrorCode code) {
  for (const StatusRow& row : kRows) {
    if (row.code == code)
      return row.status;
  }
  return 500;
}

ErrorCode code_of_http_status(int status) {
  for (const StatusRow& row : kRows) {
    if (row.status == status)
      return row.code;
  }
  return ErrorCode::Protocol;  // 405, 411, 415 and whatever else is no answer of ours
}

std::string_view http_reason(int status) {
  if (status == 200)
    return "OK";
  for (const StatusRow& row : kRows) {
    if (row.status == status)
      return row.reason;
  }
  switch (status) {
    case 405:
      return "Method Not Allowed";
    case 411:
      return "Length Required";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Unknown";
  }
}

bool is_operation_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
         });
}

std::string encode_request_head(const CallHead& head, std::string_view args) {
  std::string text;
  text.reserve(128 + args.size());
  text += R"({"v":1,)";
  if (head.id != OperationId{}) {
    text += R"("id":")";
    text += wire::to_hex(head.id);
    text += R"(",)";
  }
  if (!head.trace.empty()) {
    text += R"("trace":)";
    text += json_string(head.trace);
    text += ',';
  }
  text += R"("deadline_ms":)";
  text += std::to_string(head.deadline.count());
  text += R"(,"args":)";
  text += args.empty() ? std::string_view("{}") : args;
  text += '}';
  return text;
}

Result<CallHead> decode_request_head(std::string_view text, nlohmann::json& args) {
  auto parsed = parse_object(text, kMaxRequestValues);
  if (!parsed && parsed.error().code == ErrorCode::ResourceExhausted)
    return tl::unexpected(std::move(parsed.error()));
  if (!parsed)
    return fail(ErrorCode::InvalidArgument, "the request head is not a JSON object");
  nlohmann::json& object = *parsed;
  const auto version = object.find("v");
  if (version == object.end() || !version->is_number_unsigned()) {
    return fail(ErrorCode::InvalidArgument, "the request head names no protocol version");
  }
  if (version->get<std::uint64_t>() != kProtocolVersion) {
    return fail(ErrorCode::Unsupported, "protocol version {} is spoken here", kProtocolVersion);
  }
  CallHead head;
  TROTH_TRY_VOID(decode_optional_fields(object, head));
  if (auto given = object.find("args"); given != object.end()) {
    args = std::move(*given);
  } else {
    args = nlohmann::json::object();
  }
  return head;
}

std::string encode_result(std::uint64_t epoch, std::string_view result) {
  std::string text;
  text.reserve(48 + result.size());
  text += R"({"epoch":)";
  text += std::to_string(epoch);
  text += R"(,"result":)";
  text += result.empty() ? std::string_view("null") : result;
  text += '}';
  return text;
}

std::string encode_error(std::uint64_t epoch, const Error& error, std::string_view trace) {
  std::string text =
      fmt::format(R"({{"epoch":{},"code":"{}","message":{},"trace":{})", epoch,
                  to_string(error.code), json_string(error.message), json_string(trace));
  if (error.retry_after.count() > 0) {
    text += fmt::format(R"(,"retry_after_ms":{})", error.retry_after.count());
  }
  if (const std::string_view name = errno_name(error.error_number); !name.empty())
    text += fmt::format(R"(,"errno":"{}")", name);
  if (!error.detail.empty() && error.detail.size() <= kMaxErrorDetailBytes &&
      parse_object(error.detail, kMaxErrorDetailBytes)) {
    text += R"(,"detail":)";
    text += error.detail;
  }
  text += '}';
  return text;
}

Result<ReplyHead> decode_reply(int status, std::string_view text, nlohmann::json& result) {
  auto parsed = parse_object(text, kMaxReplyValues);
  if (!parsed) {
    if (parsed.error().code == ErrorCode::ResourceExhausted)
      return tl::unexpected(std::move(parsed.error()));
    if (status == 200)
      return fail(ErrorCode::Protocol, "the reply is not a JSON object");
    return ReplyHead{0, Error{code_of_http_status(status), fmt::format("HTTP status {}", status)}};
  }
  nlohmann::json& object = *parsed;
  ReplyHead head;
  if (auto epoch = object.find("epoch"); epoch != object.end() && epoch->is_number_unsigned()) {
    head.epoch = epoch->get<std::uint64_t>();
  }
  if (status == 200) {
    const auto found = object.find("result");
    if (found == object.end())
      return fail(ErrorCode::Protocol, "the reply has no \"result\"");
    result = std::move(*found);
    return head;
  }
  Error error{code_of_http_status(status), fmt::format("HTTP status {}", status)};
  if (auto code = object.find("code"); code != object.end() && code->is_string()) {
    error.code = error_code_from_string(code->get_ref<const std::string&>());
  }
  if (auto message = object.find("message"); message != object.end() && message->is_string()) {
    error.message = message->get_ref<const std::string&>();
  }
  if (auto after = object.find("retry_after_ms");
      after != object.end() && after->is_number_unsigned()) {
    error.retry_after = std::chrono::milliseconds(std::min<std::uint64_t>(
        after->get<std::uint64_t>(), static_cast<std::uint64_t>(kMaxDeadline.count())));
  }
  if (auto name = object.find("errno"); name != object.end() && name->is_string())
    error.error_number = errno_from_name(name->get_ref<const std::string&>());
  if (auto detail = object.find("detail"); detail != object.end() && detail->is_object()) {
    std::string kept = detail->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (kept.size() <= kMaxErrorDetailBytes)
      error.detail = std::move(kept);
  }
  head.error = std::move(error);
  return head;
}

std::string encode_frame_length(std::size_t length) {
  const auto value = static_cast<std::uint32_t>(length);
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16 & 0xFF),
          static_cast<char>(value >> 8 & 0xFF), static_cast<char>(value & 0xFF)};
}

std::uint32_t decode_frame_length(std::string_view four_bytes) {
  std::uint32_t value = 0;
  for (const char c : four_bytes.substr(0, 4))
    value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

}  // namespace common::rpc
