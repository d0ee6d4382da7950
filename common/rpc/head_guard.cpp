#include "common/rpc/head_guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/rpc/ignoring_case.hpp"

namespace common::rpc {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kPathPrefix = "/v1/";
// 19 digits fit in 64 bits.
constexpr std::size_t kMaxLengthDigits = 19;

enum class Name : std::uint8_t {
  ContentLength,
  ContentType,
  Connection,
  Host,
  UserAgent,
  Accept,
  AcceptEncoding,
  Unknown
};

struct Known {
  std::string_view lower;
  Name name;
};
constexpr std::array kAllowed{
    Known{"content-length", Name::ContentLength},   Known{"content-type", Name::ContentType},
    Known{"connection", Name::Connection},          Known{"host", Name::Host},
    Known{"user-agent", Name::UserAgent},           Known{"accept", Name::Accept},
    Known{"accept-encoding", Name::AcceptEncoding},
};

// Header names whose refusal deserves its own status.
struct Forbidden {
  std::string_view lower;
  int status;
  std::string_view reason;
};
constexpr std::array kForbidden{
    Forbidden{"transfer-encoding", 411, "Transfer-Encoding is not accepted, send Content-Length"},
    Forbidden{"content-encoding", 415, "Content-Encoding is not accepted"},
    Forbidden{"expect", 417, "Expect is not accepted"},
};

Name name_of(std::string_view text) {
  for (const Known& known : kAllowed) {
    if (equals_ignoring_case(text, known.lower))
      return known.name;
  }
  return Name::Unknown;
}

HeadVerdict refuse(int status, std::string_view reason) {
  HeadVerdict verdict;
  verdict.kind = HeadVerdict::Kind::Refused;
  verdict.status = status;
  verdict.reason = reason;
  return verdict;
}

// `POST /v1/<service>/<operation> HTTP/1.1`, nothing else.
HeadVerdict check_request_line(std::string_view line, RequestHead& head) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos)
    return refuse(400, "malformed request line");
  if (line.substr(0, space) != "POST")
    return refuse(405, "only POST is accepted");
  line.remove_prefix(space + 1);
  constexpr std::string_view kVersion = " HTTP/1.1";
  if (!line.ends_with(kVersion))
    return refuse(400, "only HTTP/1.1 is accepted");
  line.remove_suffix(kVersion.size());
  if (!line.starts_with(kPathPrefix))
    return refuse(404, "no such path");
  line.remove_prefix(kPathPrefix.size());
  const std::size_t slash = line.find('/');
  if (slash == std::string_view::npos)
    return refuse(404, "no such path");
  head.service = line.substr(0, slash);
  head.operation = line.substr(slash + 1);
  if (!is_operation_name(head.service) || !is_operation_name(head.operation)) {
    return refuse(404, "no such path");
  }
  return {};
}

bool is_plain_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c < 0x7F && c != '%'; });
}

std::string_view without_parameters(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' '))
    type.remove_suffix(1);
  return type;
}

// Collects what the header lines say; each allowed name at most once.
class HeaderReader {
 public:
  HeadVerdict take(std::string_view line, RequestHead& head) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return refuse(400, "malformed header line");
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' '))
      value.remove_prefix(1);
    while (value.ends_with(' '))
      value.remove_suffix(1);
    for (const Forbidden& forbidden : kForbidden) {
      if (equals_ignoring_case(name, forbidden.lower)) {
        return refuse(forbidden.status, forbidden.reason);
      }
    }
    const Name known = name_of(name);
    if (known == Name::Unknown)
      return refuse(400, "a header name that is not accepted");
    const unsigned bit = 1U << static_cast<unsigned>(known);
    if ((seen_ & bit) != 0)
      return refuse(400, "a header that may come only once came twice");
    seen_ |= bit;
    if (!is_plain_value(value))
      return refuse(400, "a header value that is not plain text");
    return take_value(known, value, head);
  }

  HeadVerdict finish() const {
    if (!has(Name::ContentLength))
      return refuse(411, "Content-Length is missing");
    if (!has(Name::ContentType))
      return refuse(415, "Content-Type is missing");
    return {};
  }

 private:
  [[nodiscard]] bool has(Name name) const {
    return (seen_ & 1U << static_cast<unsigned>(name)) != 0;
  }

  static HeadVerdict take_value(Name name, std::string_view value, RequestHead& head) {
    if (name == Name::ContentLength) {
      const char* end = value.data() + value.size();
      const auto parsed = std::from_chars(value.data(), end, head.content_length);
      const bool digits =
          std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (value.empty() || value.size() > kMaxLengthDigits || !digits || parsed.ec != std::errc{} ||
          parsed.ptr != end) {
        return refuse(400, "Content-Length is not a number");
      }
    } else if (name == Name::ContentType) {
      const std::string_view type = without_parameters(value);
      head.is_bytes = equals_ignoring_case(type, kBytesType);
      if (!head.is_bytes && !equals_ignoring_case(type, kJsonType)) {
        return refuse(415, "Content-Type must be application/json or application/octet-stream");
      }
    } else if (name == Name::Connection) {
      head.close = equals_ignoring_case(value, "close");
      if (!head.close && !equals_ignoring_case(value, "keep-alive")) {
        return refuse(400, "Connection must be close or keep-alive");
      }
    }
    return {};
  }

  unsigned seen_ = 0;
};

// A line without its end. Control characters inside (a bare CR, LF or NUL, a tab) are no line.
bool is_clean_line(std::string_view line) {
  return std::none_of(line.begin(), line.end(),
                      [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; });
}

}  // namespace

HeadVerdict check_head(std::string_view received, const HeadLimits& limits) {
  HeadVerdict verdict;
  HeaderReader headers;
  std::size_t at = 0;
  for (std::size_t lines = 0;; ++lines) {
    const std::size_t end = received.substr(0, limits.bytes).find(kLineEnd, at);
    if (end == std::string_view::npos) {
      if (received.size() >= limits.bytes)
        return refuse(431, "the head is too large");
      std::string_view tail = received.substr(at);
      if (tail.ends_with('\r'))
        tail.remove_suffix(1);
      if (!is_clean_line(tail))
        return refuse(400, "a control character in the head");
      return verdict;  // Incomplete
    }
    const std::string_view line = received.substr(at, end - at);
    at = end + kLineEnd.size();
    if (line.empty() && lines > 0)
      break;
    if (!is_clean_line(line))
      return refuse(400, "a control character in the head");
    if (lines > limits.lines)
      return refuse(431, "too many header lines");
    HeadVerdict problem =
        lines == 0 ? check_request_line(line, verdict.head) : headers.take(line, verdict.head);
    if (problem.kind == HeadVerdict::Kind::Refused)
      return problem;
  }
  HeadVerdict problem = headers.finish();
  if (problem.kind == HeadVerdict::Kind::Refused)
    return problem;
  verdict.kind = HeadVerdict::Kind::Accepted;
  verdict.head.size = at;
  return verdict;
}

}  // namespace common::rpc
