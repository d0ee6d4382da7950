#include "common/rpc/reply_head.hpp"

#include <charconv>

#include "common/rpc/ignoring_case.hpp"
#include "common/rpc/protocol.hpp"

namespace common::rpc {
namespace {

Status take_header(std::string_view line, HttpReplyHead& head, bool& has_length) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos)
    return fail(ErrorCode::Protocol, "malformed reply header");
  const std::string_view name = line.substr(0, colon);
  std::string_view value = line.substr(colon + 1);
  while (value.starts_with(' '))
    value.remove_prefix(1);
  while (value.ends_with(' '))
    value.remove_suffix(1);
  if (equals_ignoring_case(name, "Content-Length")) {
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, head.content_length);
    if (has_length || value.empty() || parsed.ec != std::errc{} || parsed.ptr != end) {
      return fail(ErrorCode::Protocol, "the reply's length is unclear");
    }
    has_length = true;
  } else if (equals_ignoring_case(name, "Transfer-Encoding")) {
    return fail(ErrorCode::Protocol, "the reply's length is unclear");
  } else if (equals_ignoring_case(name, "Content-Type")) {
    head.is_bytes = equals_ignoring_case(value.substr(0, value.find(';')), kBytesType);
  } else if (equals_ignoring_case(name, "Connection")) {
    head.close = equals_ignoring_case(value, "close");
  }
  return {};
}

Status take_status_line(std::string_view line, HttpReplyHead& head) {
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (!line.starts_with(kVersion) || line.size() < kVersion.size() + 3) {
    return fail(ErrorCode::Protocol, "not an HTTP/1.1 reply");
  }
  const char* digits = line.data() + kVersion.size();
  const auto parsed = std::from_chars(digits, digits + 3, head.status);
  if (parsed.ec != std::errc{} || parsed.ptr != digits + 3 || head.status < 200) {
    return fail(ErrorCode::Protocol, "not an HTTP status that is understood here");
  }
  return {};
}

}  // namespace

Result<std::optional<HttpReplyHead>> parse_reply_head(std::string_view received) {
  const std::size_t end = received.substr(0, kMaxHttpHeadBytes).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (received.size() >= kMaxHttpHeadBytes) {
      return fail(ErrorCode::Protocol, "the reply's head is too large");
    }
    return std::optional<HttpReplyHead>();
  }
  HttpReplyHead head;
  head.size = end + 4;
  bool has_length = false;
  std::string_view lines = received.substr(0, end + 2);
  for (bool first = true; !lines.empty(); first = false) {
    const std::size_t line_end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, line_end);
    lines.remove_prefix(line_end + 2);
    TROTH_TRY_VOID(first ? take_status_line(line, head) : take_header(line, head, has_length));
  }
  if (!has_length)
    return fail(ErrorCode::Protocol, "the reply has no length");
  return std::optional<HttpReplyHead>(head);
}

}  // namespace common::rpc
